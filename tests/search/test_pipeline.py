"""What a sweep learns of a trial's stages: their metric, why they failed, and that they have ended."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from scanlens.errors import ScanlensError
from scanlens.search.pipeline import _wait, failure, read_metric


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        (
            "> python\ntraining: The loss is not finite. Lower it.\nERROR: failed to reproduce",
            "training: The loss",
        ),
        (
            "acquire: 12 scans in x (1.2 s)\nTraceback\nValueError: odd\nERROR: failed to reproduce 'a'",
            "ValueError",
        ),
        ("acquire: 12 scans in x (1.2 s)\nKilled\n", "Killed"),
        ("", "no reason"),
    ],
)
def test_the_reason_of_a_failure_is_the_stages_own(log: str, reason: str) -> None:
    assert reason in failure(log)


def test_metrics_are_read_from_the_stages_reports(tmp_path: Path) -> None:
    reports = tmp_path / "data/07_reports"
    reports.mkdir(parents=True)
    (reports / "ensemble.json").write_text('{"val_loss": 0.5, "epochs": 3}')
    (reports / "metrics.json").write_text('{"val": {"auc_macro": 0.75, "ece": null}}')
    assert read_metric(tmp_path, "val_loss") == 0.5
    assert read_metric(tmp_path, "val.auc_macro") == 0.75
    with pytest.raises(ScanlensError, match="holds no val_aucc"):
        read_metric(tmp_path, "val_aucc")
    with pytest.raises(ScanlensError, match="undefined"):
        read_metric(tmp_path, "val.ece")


def test_a_stop_waits_for_the_stage_that_outlives_its_leader() -> None:
    stage = (
        "import os, signal as s, time; s.signal(s.SIGTERM, s.SIG_IGN); "
        "print(1, flush=True); time.sleep(1); os._exit(0)"
    )
    leader = f"import subprocess as p, sys, time; p.Popen([sys.executable, '-c', {stage!r}]); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", leader], stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    process.stdout.readline()
    stopping = threading.Event()
    stopping.set()
    assert _wait(process, stopping, threading.Event()) == -15
    # The pipe ends with the last process that holds it.
    os.set_blocking(process.stdout.fileno(), False)
    assert process.stdout.read() == b""

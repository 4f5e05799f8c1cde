"""The copy a trial runs in: its paths, and the processes that may be left in it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml

from scanlens.config.compose import compose_text
from scanlens.search.workspace import PID, bring_paths, end_group, end_left_over


def test_relative_paths_are_found_from_the_copy(tmp_path: Path) -> None:
    project, copy = tmp_path / "project", tmp_path / "project/.scanlens/sweeps/s/worker-0"
    copy.mkdir(parents=True)
    for folder in (project / "scans/deep", tmp_path / "outside"):
        folder.mkdir(parents=True)
    inside = {"data": {"root": "scans/deep"}, "transfer": {"file": None}}
    for _ in range(2):
        assert bring_paths(project, copy, inside) == []
    assert (copy / "scans/deep").resolve() == project / "scans/deep"
    outside = {"data": {"root": "../outside"}, "transfer": {"file": "w.safetensors"}}
    assert bring_paths(project, copy, outside) == [f"data.root='{tmp_path / 'outside'}'"]
    odd = tmp_path / "o'brien\\"
    odd.mkdir()
    (override,) = bring_paths(project, copy, {"data": {"root": "../o'brien\\"}})
    composed = compose_text(Path(__file__).parents[2], ["data=table", "data.table=t.csv", override])
    assert yaml.safe_load(composed)["data"]["root"] == str(odd)
    absolute = {"data": {"root": str(tmp_path)}, "transfer": {"file": "~/w"}}
    assert bring_paths(project, copy, absolute) == []


def test_a_process_that_will_not_end_is_made_to() -> None:
    code = "import signal as s, time; s.signal(s.SIGTERM, s.SIG_IGN); print(1, flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    process.stdout.readline()
    ended = threading.Thread(target=process.wait)
    ended.start()
    end_group(process.pid, grace_s=0.3)
    ended.join(30)
    assert process.returncode == -9
    end_group(os.getpid() + 10**6)


@pytest.mark.parametrize("content", ["", "x", "999999999"])
def test_a_number_that_was_not_written_ends_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / PID).write_text(content)
    end_left_over(tmp_path)
    assert not (tmp_path / PID).exists()

"""A project small enough for many trials: the real conf/, real DVC, and a training stage of a few lines."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scanlens.search.plan import read_plan
from scanlens.search.sweep import Outcome, sweep

STAGE = '''
"""A stand-in for training: a loss that falls over the epochs, lowest where the rate is 0.003."""
import json, math, os, sys, time
from contextlib import nullcontext
from pathlib import Path
from scanlens.config.load import read_settings
from scanlens.config.schema import Tracking
from scanlens.errors import ScanlensError
from scanlens.tracking.trial import with_sweep

settings = read_settings(Path())
lr, epochs = settings["training"]["lr"], settings["training"]["epochs"]
reports = Path("data/07_reports")
reports.mkdir(parents=True, exist_ok=True)
tracking = Tracking(**settings["tracking"])
run = nullcontext()
if tracking.enabled:
    from scanlens.tracking.runs import open_run
    run = open_run(tracking, settings, {})
try:
    with run as tracked:
        hook = with_sweep(tracked.log_metrics if tracked else lambda metrics, epoch: None)
        if settings["model"]["dropout"] > 0.9:
            raise ScanlensError("there is too much dropout.")
        for epoch in range(epochs):
            loss = abs(math.log10(lr / 3e-3)) + 1 / (epoch + 1)
            hook({"val_loss": loss, "val_auc": 1 / (1 + loss)}, epoch)
            time.sleep(float(os.environ.get("TOY_EPOCH_S", 0)))
            if name := os.environ.get("TOY_TOGETHER"):
                # Each trial waits here for the other.
                Path(name).mkdir(exist_ok=True)
                (Path(name) / str(lr)).touch()
                while len(list(Path(name).iterdir())) < 2:
                    time.sleep(0.1)
except ScanlensError as error:
    print(f"training: {error}", file=sys.stderr)
    raise SystemExit(1)
facts = {"val_loss": loss, "val_auc": 1 / (1 + loss), "epochs": epochs}
(reports / "ensemble.json").write_text(json.dumps(facts))
'''
DVC = """
stages:
  manifest:
    cmd: ls ${data.root} > listed
    deps: ["${data.root}"]
    outs: [listed]
  ensemble:
    cmd: python pipelines/training.py
    deps: [listed, pipelines/training.py]
    params: [training, model]
    outs: [data/07_reports/ensemble.json]
"""
FAST = ("data=folder", "data.root=scans", "training.epochs=4")
UNTRACKED = (*FAST, "tracking=off")
Sweep = Callable[..., Outcome]


@pytest.fixture
def toy(tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A DVC project in ``tmp_path`` whose data root is relative; its stages find this checkout's code."""
    folder = tmp_path / "project"
    shutil.copytree(project / "conf", folder / "conf")
    for name, text in (("pipelines/training.py", STAGE), ("dvc.yaml", DVC), ("scans/a.png", "x")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    # Copies of the project put their own src first; an empty one leaves the package that is tested.
    (folder / "src").mkdir()
    monkeypatch.setenv("PYTHONPATH", str(project / "src"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(folder)
    subprocess.run(["dvc", "init", "-q", "--no-scm"], check=True)
    return folder


@pytest.fixture
def run_sweep(toy: Path) -> Sweep:
    """Run a sweep in that project, as ``scanlens sweep`` does."""

    def call(*words: str, **options: Any) -> Outcome:
        return sweep(toy, read_plan(toy, words, options))

    return call

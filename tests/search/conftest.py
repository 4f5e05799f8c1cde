"""A project small enough for many trials: the real conf/, real DVC, and a training stage of a few lines."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

STAGE = '''
"""A stand-in for training: a loss that falls over the epochs, lowest where the rate is 0.003."""
import json, math, sys, time
from pathlib import Path
from scanlens.config.load import read_settings
from scanlens.config.schema import Tracking
from scanlens.errors import ScanlensError
from scanlens.tracking.runs import open_run
from scanlens.tracking.trial import with_sweep

settings = read_settings(Path())
lr, epochs = settings["training"]["lr"], settings["training"]["epochs"]
reports = Path("data/07_reports")
reports.mkdir(parents=True, exist_ok=True)
try:
    with open_run(Tracking(**settings["tracking"]), settings, {}) as tracked:
        hook = with_sweep(tracked.log_metrics)
        if settings["model"]["dropout"] > 0.9:
            raise ScanlensError("there is too much dropout.")
        for epoch in range(epochs):
            time.sleep(settings["training"]["gradient_clip"] / 10)
            loss = abs(math.log10(lr / 3e-3)) + 1 / (epoch + 1)
            hook({"val_loss": loss, "val_auc": 1 / (1 + loss)}, epoch)
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
  training:
    cmd: python pipelines/training.py
    deps: [listed, pipelines/training.py]
    params: [training, model]
    outs: [data/07_reports/ensemble.json]
"""
Sweep = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def project_of_one_stage(tmp_path: Path, project: Path) -> Path:
    """A DVC project in ``tmp_path`` whose data root is relative."""
    folder = tmp_path / "project"
    shutil.copytree(project / "conf", folder / "conf")
    for name, text in (("pipelines/training.py", STAGE), ("dvc.yaml", DVC), ("scans/a.png", "x")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    # Copies of the project put their own src first; an empty one leaves the package that is tested.
    (folder / "src").mkdir()
    subprocess.run(["dvc", "init", "-q", "--no-scm"], cwd=folder, check=True, env=environment(project))
    return folder


def environment(project: Path) -> dict[str, str]:
    """This interpreter's tools and this checkout's code first."""
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(project / "src"),
    }


@pytest.fixture
def scanlens(project_of_one_stage: Path, project: Path) -> Sweep:
    """Run ``scanlens`` in that project."""

    def call(*words: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
        result = subprocess.run(
            ["scanlens", *words],
            cwd=project_of_one_stage,
            env=environment(project),
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert result.returncode == expect, f"{words}: {result.stdout[-2000:]}\n{result.stderr[-2000:]}"
        return result

    return call

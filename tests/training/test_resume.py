"""A fit killed by SIGKILL, wherever it is, ends after a restart with the bytes of an undisturbed one."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.fits import write_tiny_store

Runs = Callable[[list[dict[str, Any]]], list[int]]
RECIPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "opposed": {"opposed": True, "recipe": {"epochs": 6, "patience": 2}},
    "accumulating": {"recipe": {"accumulate": 2}},
    "ema": {"recipe": {"averaging": {"method": "ema", "decay": 0.9, "start": 0.5}}},
    "mixing, balanced": {
        "recipe": {"mixing": {"mixup": 0.4, "cutmix": 1.0, "share": 0.7}, "sampling": "balanced"},
    },
    "swa, gradual": {
        "recipe": {
            "averaging": {"method": "swa", "decay": 0.9, "start": 0.3},
            "thaw": {"mode": "gradual", "head_epochs": 1},
        }
    },
}
# 12 batches an epoch, 3 epochs, a checkpoint or two after each.
KILLS: list[dict[str, int]] = [
    {"batch": 2},
    {"save": 2},
    {"save": 1},
    {"batch": 14},
    {"epoch": 1},
    {"save": 1},
    {"batch": 7},
]


@pytest.fixture
def runs(tmp_path: Path, project: Path) -> Runs:
    """Fits in processes of their own; returns the signals that ended them."""
    write_tiny_store(tmp_path)

    def make(settings: list[dict[str, Any]]) -> list[int]:
        (tmp_path / "runs.json").write_text(json.dumps(settings))
        command = [sys.executable, "-m", "tests.helpers.fits", str(tmp_path), str(tmp_path / "runs.json")]
        done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        signals: list[int] = json.loads((tmp_path / "signals.json").read_text())
        return signals

    return make


def assert_same(one: Path, two: Path) -> None:
    for name in ("model.safetensors", "history.csv"):
        assert (one / name).read_bytes() == (two / name).read_bytes(), name


@pytest.mark.parametrize("name", RECIPES)
def test_a_fit_killed_again_and_again_ends_with_the_same_bytes(runs: Runs, tmp_path: Path, name: str) -> None:
    settings = RECIPES[name]
    killed = [{**settings, "name": "killed", "kill": kill} for kill in KILLS]
    signals = runs([{**settings, "name": "whole"}, *killed, {**settings, "name": "killed"}])
    assert signals[0] == signals[-1] == 0
    # Most of the kills came before the end.
    assert signals[1:-1].count(signal.SIGKILL) >= 4
    assert_same(tmp_path / "whole", tmp_path / "killed")
    assert not (tmp_path / "killed" / "checkpoints").exists()


def test_killed_after_the_decision_to_stop(runs: Runs, tmp_path: Path) -> None:
    """The last checkpoint of a fit that ran out of patience is resumed and trains no further epoch."""
    settings = {"opposed": True, "recipe": {"epochs": 9, "patience": 1}}
    runs([{**settings, "name": "whole"}])
    epochs = len((tmp_path / "whole" / "history.csv").read_text().splitlines()) - 1
    assert 1 < epochs < 9
    kill = {"epoch": epochs}
    signals = runs([{**settings, "name": "killed", "kill": kill}, {**settings, "name": "killed"}])
    assert signals == [signal.SIGKILL, 0]
    assert_same(tmp_path / "whole", tmp_path / "killed")

"""Two processes learn what one learns; every scan is drawn once, whoever draws it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file

from scanlens.errors import SettingsError
from scanlens.ranks import is_first, launched
from scanlens.training import distributed
from scanlens.training.distributed import BatchShares, PartLoss, RowShares
from scanlens.training.losses import ClassLoss, cross_entropy_costs
from scanlens.training.sampling import EpochOrder
from tests.helpers.fits import write_tiny_store


def shares(monkeypatch: pytest.MonkeyPatch, world: int, make: Any) -> list[list[list[tuple[int, int]]]]:
    parts = []
    for rank in range(world):
        monkeypatch.setattr(distributed, "group", lambda rank=rank: (rank, world))
        parts.append(list(make()))
    return parts


@pytest.mark.parametrize(("world", "micro"), [(1, 1), (2, 1), (3, 1), (1, 4), (2, 3)])
def test_parts_make_up_the_same_batches(monkeypatch: pytest.MonkeyPatch, world: int, micro: int) -> None:
    order = EpochOrder(23, 5, shuffle=True)
    whole = list(BatchShares(order, 7))
    assert [len(batch) for batch in whole] == [7, 7, 7]
    found = shares(monkeypatch, world, lambda: BatchShares(order, 7, micro))
    for number, batch in enumerate(whole):
        parts = [part for own in found for part in own[number * micro : (number + 1) * micro]]
        assert sorted(draw for part in parts for draw in part) == sorted(batch)
        assert min(map(len, parts)) >= 1


@pytest.mark.parametrize("world", [1, 2, 3, 5])
def test_validation_sees_every_row_once(monkeypatch: pytest.MonkeyPatch, world: int) -> None:
    order = EpochOrder(11, 5, shuffle=False)
    found = shares(monkeypatch, world, lambda: RowShares(order, 3))
    assert [row for own in found for batch in own for row, _ in batch] == list(range(11))
    assert all(found)


def test_more_processes_than_scans_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "group", lambda: (0, 8))
    with pytest.raises(SettingsError, match=r"training\.batch_size"):
        BatchShares(EpochOrder(20, 5, shuffle=True), 4)
    with pytest.raises(SettingsError, match=r"runtime\.devices"):
        RowShares(EpochOrder(4, 5, shuffle=False), 4)


def test_uneven_parts_have_the_mean_of_the_batch() -> None:
    loss = ClassLoss(cross_entropy_costs, 2)
    outputs, targets = torch.randn(7, 2), torch.randint(0, 2, (7,))
    part = PartLoss(loss, 7, 3)
    parts = [part(outputs[place::3], targets[place::3]) for place in range(3)]
    assert float(torch.stack(parts).mean()) == pytest.approx(float(loss(outputs, targets)), rel=1e-6)
    assert part.plain()(outputs, targets) == loss.plain()(outputs, targets)


@pytest.mark.parametrize(
    ("variables", "expected", "first"),
    [
        ({}, None, True),
        ({"LOCAL_RANK": "1", "WORLD_SIZE": "2"}, None, False),
        ({"LOCAL_RANK": "0", "NODE_RANK": "1", "WORLD_SIZE": "4"}, None, False),
        (
            {"TORCHELASTIC_RUN_ID": "a", "RANK": "0", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"},
            (4, 2), True,
        ),
        (
            {"TORCHELASTIC_RUN_ID": "a", "RANK": "4", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"},
            (4, 2), False,
        ),
        (
            {"SLURM_STEP_ID": "0", "SLURM_PROCID": "3", "SLURM_NTASKS": "8", "SLURM_NNODES": "2"},
            (4, 2), False,
        ),
        # The shell of a batch script is one process, whatever the job has asked for.
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "8", "SLURM_NNODES": "2"}, None, True),
    ],
)  # fmt: skip
def test_launchers(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: Any, first: bool
) -> None:
    for name in list(os.environ):
        if name.startswith(("SLURM_", "TORCHELASTIC_")) or name.endswith("RANK") or "WORLD_SIZE" in name:
            monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert launched() == expected
    assert is_first() is first


def environment() -> dict[str, str]:
    """This process's variables, without a launcher's, and a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}


def fit_alone(folder: Path, project: Path, settings: dict[str, Any], *launcher: str) -> None:
    """One fit by the script, without a fork."""
    (folder / f"{settings['name']}.json").write_text(json.dumps(settings))
    arguments = ["-m", "tests.helpers.fit_alone", str(folder), str(folder / f"{settings['name']}.json")]
    done = subprocess.run(
        [sys.executable, *launcher, *arguments], cwd=project, env=environment(), capture_output=True,
        text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]


def assert_close(one: Path, two: Path) -> None:
    weights, others = load_file(one / "model.safetensors"), load_file(two / "model.safetensors")
    for name, tensor in weights.items():
        np.testing.assert_allclose(tensor, others[name], atol=1e-5, err_msg=name)
    first, second = pd.read_csv(one / "history.csv"), pd.read_csv(two / "history.csv")
    pd.testing.assert_frame_equal(first, second, check_exact=False, atol=1e-5)


SETTINGS: dict[str, Any] = {
    "model": {"name": "dense", "width": 1.0, "hidden": [8], "dropout": 0.0},
    "recipe": {"epochs": 2, "batch_size": 5, "accumulate": 2},
}


@pytest.mark.whole
def test_two_processes_learn_what_one_learns(tmp_path: Path, project: Path) -> None:
    """Batches of five are shared by three and two; no batch norm, no dropout."""
    write_tiny_store(tmp_path)
    fit_alone(tmp_path, project, {**SETTINGS, "name": "one"})
    fit_alone(tmp_path, project, {**SETTINGS, "name": "two", "machine": {"devices": 2}})
    assert_close(tmp_path / "one", tmp_path / "two")
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    fit_alone(tmp_path, project, {**SETTINGS, "name": "run", "machine": {"devices": 2}}, *torchrun)
    assert_close(tmp_path / "one", tmp_path / "run")


@pytest.mark.whole
def test_two_processes_thaw_what_one_thaws(tmp_path: Path, project: Path) -> None:
    """Block by block, batch norms frozen (each process has statistics of its own)."""
    write_tiny_store(tmp_path)
    thaw = {"mode": "gradual", "head_epochs": 1, "layer_decay": 0.5, "freeze_norm": True}
    settings = {"model": {"dropout": 0.0}, "recipe": {"epochs": 3, "batch_size": 4, "thaw": thaw}}
    fit_alone(tmp_path, project, {**settings, "name": "one"})
    fit_alone(tmp_path, project, {**settings, "name": "two", "machine": {"devices": 2}})
    assert_close(tmp_path / "one", tmp_path / "two")

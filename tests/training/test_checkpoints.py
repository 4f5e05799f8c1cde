"""Checkpoints are whole or absent; old ones go."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from scanlens.errors import shortage
from scanlens.training.checkpoints import LAST, WholeFiles, prune_checkpoints


def save(folder: Path, number: int, size: int = 10) -> None:
    WholeFiles().save_checkpoint({"weights": torch.full((size,), float(number))}, folder / LAST)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("only root may mount a small file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_leaves_the_checkpoint_before(small_disk: Path) -> None:
    save(small_disk, 1)
    with pytest.raises((OSError, RuntimeError)) as caught:
        save(small_disk, 2, size=1 << 20)
    assert shortage(caught.value) == "disk"
    assert [path.name for path in small_disk.iterdir()] == [LAST]
    assert float(WholeFiles().load_checkpoint(small_disk / LAST)["weights"][0]) == 1


def test_old_folders_of_other_fits_are_removed(tmp_path: Path) -> None:
    names = {"0123456789abcdef": True, "fedcba9876543210": False, "somebody's": True}
    for name in names:
        (tmp_path / name).mkdir()
        save(tmp_path / name, 1)
        if name != "fedcba9876543210":
            past = time.time() - 40 * 86400
            os.utime(tmp_path / name / LAST, (past, past))
    (tmp_path / "00000000000000aa").mkdir()
    prune_checkpoints(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(names) - {"0123456789abcdef"} | {
        "00000000000000aa"
    }

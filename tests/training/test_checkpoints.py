"""Checkpoints are whole or absent, and a folder keeps the last two."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from scanlens.errors import ScanlensError
from scanlens.training.checkpoints import BEST, LAST, PREVIOUS, KeptFiles, Position, is_whole, newest, prune


def save(folder: Path, number: int, best: bool = False, size: int = 10) -> None:
    KeptFiles().save_checkpoint({"weights": torch.full((size,), float(number)), "best": best}, folder / LAST)


def number(path: Path) -> float:
    return float(KeptFiles().load_checkpoint(path)["weights"][0])


def test_the_last_two_are_kept_and_the_best(tmp_path: Path) -> None:
    assert newest(tmp_path) is None
    for count in range(4):
        save(tmp_path, count, best=count == 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == [BEST, LAST, PREVIOUS]
    assert [number(tmp_path / name) for name in (BEST, PREVIOUS, LAST)] == [1, 2, 3]
    assert newest(tmp_path) == tmp_path / LAST


@pytest.mark.parametrize("damage", ["half", "one bit", "absent", "empty"])
def test_a_damaged_one_gives_way(tmp_path: Path, damage: str) -> None:
    save(tmp_path, 1)
    save(tmp_path, 2)
    last = tmp_path / LAST
    content = bytearray(last.read_bytes())
    assert is_whole(last)
    if damage == "half":
        content = content[: len(content) // 2]
    elif damage == "one bit":
        place = content.index(torch.full((10,), 2.0).numpy().tobytes())
        content[place + 3] ^= 4
    elif damage == "empty":
        content = bytearray()
    last.write_bytes(content)
    if damage == "absent":
        last.unlink()
    assert newest(tmp_path) == tmp_path / PREVIOUS


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
    with pytest.raises(ScanlensError, match=r"can't be written: No space left on device in .*Make room"):
        save(small_disk, 2, size=1 << 20)
    assert [path.name for path in small_disk.iterdir()] == [LAST]
    assert number(small_disk / LAST) == 1


def test_old_folders_of_other_fits_are_removed(tmp_path: Path) -> None:
    names = {"0123456789abcdef": True, "fedcba9876543210": False, "somebody's": True}
    for name in names:
        (tmp_path / name).mkdir()
        save(tmp_path / name, 1)
        if name != "fedcba9876543210":
            past = time.time() - 40 * 86400
            os.utime(tmp_path / name / LAST, (past, past))
    (tmp_path / "00000000000000aa").mkdir()
    prune(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(names) - {"0123456789abcdef"} | {
        "00000000000000aa"
    }


def test_a_position_in_other_parts() -> None:
    assert Position(2, 6, 1).divided(4) == Position(2, 24, 4)
    assert Position(2, 6, 2).divided(4) == Position(2, 12, 4)
    assert Position.of(None) == Position(0, 0, 1)

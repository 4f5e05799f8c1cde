"""How the stage ends that trains: asked to stop, on a full disk, and where memory gives out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scanlens.config.compose import compose_text
from tests.helpers.tiny import write_store


@pytest.fixture
def folder(tmp_path: Path, project: Path) -> Path:
    """Where the stage runs; the store is larger than the memory that one case leaves."""
    (tmp_path / "params.yaml").write_text(compose_text(project))
    write_store(tmp_path / "store", shape=(1, 64, 64), train=8)
    return tmp_path


def end(project: Path, folder: Path, how: str) -> subprocess.CompletedProcess[str]:
    """The stage in a process of its own."""
    command = [sys.executable, "-m", "tests.helpers.staged_fit", str(folder), how]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=300)
    assert "Traceback" not in done.stderr, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("training: ")]
    assert len(lines) == (how != "nothing")
    assert (folder / "out").exists() == (how == "nothing")
    assert not (folder / ".out.part").exists()
    return done


@pytest.mark.whole
@pytest.mark.parametrize(("how", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_stop_is_told_and_the_next_run_goes_on(project: Path, folder: Path, how: str, code: int) -> None:
    stopped = end(project, folder, how)
    assert stopped.returncode == code
    assert "stopped. The same command goes on" in stopped.stderr
    again = end(project, folder, "nothing")
    assert again.returncode == 0
    assert "resuming from" in again.stdout


@pytest.mark.whole
def test_want_of_memory_is_one_line(project: Path, folder: Path) -> None:
    done = end(project, folder, "memory")
    assert done.returncode == 1
    assert "ut of memory" in done.stderr
    assert "training.batch_size" in done.stderr


@pytest.mark.whole
def test_a_full_disk_under_the_outputs_is_one_line(project: Path, folder: Path) -> None:
    done = end(project, folder, "disk")
    assert done.returncode == 1
    assert "there is no room left on the disk" in done.stderr

"""What is unpacked is private, and gone afterwards, however the process ended."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from scanlens.sources.readers.scratch import scratch_folder

_KILLED = """
import os, signal
from scanlens.sources.readers.scratch import scratch_folder
with scratch_folder() as folder:
    (folder / "scan.dcm").write_text("Doe")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def test_it_is_private_and_ends(temporary: Path) -> None:
    with scratch_folder() as folder:
        assert folder.parent.stat().st_mode & 0o077 == 0
        (folder / "a").write_text("a")
    assert list(temporary.iterdir()) == []
    with pytest.raises(FileNotFoundError), scratch_folder() as folder:
        (folder / "absent").read_text()
    assert list(temporary.iterdir()) == []


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_has_is_not(temporary: Path) -> None:
    assert subprocess.run([sys.executable, "-c", _KILLED], check=False).returncode == -9
    (left,) = temporary.iterdir()
    with scratch_folder() as mine:
        assert not left.exists()
        with scratch_folder():
            assert mine.is_dir()
    assert list(temporary.iterdir()) == []

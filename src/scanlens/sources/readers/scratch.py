"""Private temporary folders for what is unpacked, gone afterwards even if the process is killed.

A worker that takes too long is killed, and a killed process removes nothing. Each folder therefore holds a
lock that dies with its process, and the next process that makes a folder removes those whose lock is free.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

_PREFIX = "scanlens-"
_LOCK = "lock"


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield an empty folder that only this user can enter; it is removed when the block ends."""
    parent = Path(tempfile.gettempdir())
    _sweep(parent)
    # mkdtemp makes it with mode 0700.
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    with (folder / "new").open("w") as lock:
        # Locked before it has the name others look for, so that nobody takes it for a dead one.
        fcntl.flock(lock, fcntl.LOCK_EX)
        (folder / "new").rename(folder / _LOCK)
        try:
            (folder / "files").mkdir()
            yield folder / "files"
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@cache
def _sweep(parent: Path) -> None:
    """Remove this user's folders whose process is gone; once in a process."""
    for folder in parent.glob(f"{_PREFIX}*/{_LOCK}"):
        try:
            if folder.stat().st_uid != os.getuid():
                continue
            with folder.open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder.parent, ignore_errors=True)
        except OSError:
            # Its process lives, or another one has removed it meanwhile.
            continue

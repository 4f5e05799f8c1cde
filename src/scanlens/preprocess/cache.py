"""Finished shards, kept between runs: a killed run goes on where it was, new scans are the only ones decoded.

Every entry is a shard's file under a name made of its rows' contents, and a JSON file beside it that names
those rows with a checksum each. Both are links to, or copies of, what the run puts into its store. An entry
is only used where its checksums hold; a missing or damaged one costs time, nothing else. Entries of other
settings, other code and other libraries lie in folders of their own and never meet.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import sys
import zlib
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO

import scanlens
from scanlens.atomic import replacing
from scanlens.errors import shortage
from scanlens.preprocess.preprocessor import Preprocessor
from scanlens.preprocess.shard_file import row_bytes, shard_header

_DIGITS = 32
"""Hex digits of a key."""
_CODE = (
    "types.py",
    "reference.py",
    "privacy",
    "sources",
    "manifest/checks.py",
    "manifest/columns.py",
    "preprocess",
)
"""The parts of scanlens that decide what a scan becomes."""
_LOCK = "lock"


def row_key(sha256: str, pixel_sha256: str = "") -> str:
    """Name what a row is made of: the scan's content, as the manifest knows it."""
    return _digest(f"{sha256}\n{pixel_sha256}")


def shard_key(rows: Sequence[str]) -> str:
    """Name a shard by the keys of its rows, in order."""
    return _digest("\n".join(rows))


def settings_key(preprocessor: Preprocessor) -> str:
    """Name everything but the content that decides what a row holds: settings, code and libraries."""
    return _digest(json.dumps(preprocessor.to_json(), sort_keys=True) + "\n" + _code_digest())


@dataclass(frozen=True)
class Place:
    """Where the cache has a row.

    Attributes:
        shard: The entry's key.
        rows: How many rows the entry has.
        row: Which of them.
        checksum: CRC-32 of the row's bytes.
    """

    shard: str
    rows: int
    row: int
    checksum: int


@dataclass(frozen=True)
class ShardCache:
    """The entries of one set of settings. Any number of processes may use it at a time.

    Attributes:
        folder: Where they lie.
        shape: ``(channel, *spatial)`` of every row.
    """

    folder: Path
    shape: tuple[int, ...]

    def places(self, wanted: Container[str]) -> dict[str, Place]:
        """Say where the rows of these keys are, as far as there are any."""
        found = {}
        for path in sorted(self.folder.glob("*.json")):
            rows, checksums = _read_entry(path)
            for number, (row, checksum) in enumerate(zip(rows, checksums, strict=True)):
                if row in wanted:
                    found[row] = Place(path.stem, len(rows), number, checksum)
        return found

    def read(self, place: Place) -> bytes | None:
        """Return a row's bytes, or None where they are gone or damaged."""
        size = row_bytes(self.shape)
        start = len(shard_header(place.rows, self.shape)) + place.row * size
        try:
            with self._file(place.shard).open("rb") as file:
                file.seek(start)
                row = file.read(size)
        except OSError:
            return None
        return row if len(row) == size and zlib.crc32(row) == place.checksum else None

    def take(self, rows: Sequence[str], target: Path) -> bool:
        """Make ``target`` the shard of these rows, or return False where it is missing or damaged."""
        key = shard_key(rows)
        kept, checksums = _read_entry(self.folder / f"{key}.json")
        if kept != list(rows):
            return False
        try:
            with replacing(target, alone=False) as temporary:
                _link(self._file(key), temporary)
                # What was linked is what is looked at: the entry may be replaced meanwhile.
                if not self._is_whole(temporary, checksums):
                    raise FileNotFoundError(key)
        except OSError as error:
            if shortage(error) == "disk":
                raise
            return False
        return True

    def put(self, shard: Path, rows: Sequence[str], checksums: Sequence[int]) -> None:
        """Keep a finished shard.

        Args:
            shard: Its file; nobody changes it in place.
            rows: Keys of its rows.
            checksums: CRC-32 of each row's bytes.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        key = shard_key(rows)
        for target in (self._file(key), self.folder / f"{key}.json"):
            with replacing(target, alone=False) as temporary:
                if target.suffix == ".npy":
                    _link(shard, temporary)
                else:
                    entry = {"rows": list(rows), "checksums": list(checksums)}
                    temporary.write_text(json.dumps(entry), encoding="ascii")

    def _file(self, key: str) -> Path:
        return self.folder / f"{key}.npy"

    def _is_whole(self, path: Path, checksums: Sequence[int]) -> bool:
        header = shard_header(len(checksums), self.shape)
        size = row_bytes(self.shape)
        with path.open("rb") as file:
            if file.read(len(header)) != header:
                return False
            rows_hold = all(zlib.crc32(file.read(size)) == checksum for checksum in checksums)
            return rows_hold and not file.read(1)


@contextlib.contextmanager
def open_cache(folder: Path, preprocessor: Preprocessor) -> Iterator[tuple[ShardCache, Pruner]]:
    """Use a cache folder; made if missing.

    Yields:
        The entries of these settings, and what removes all others at the end.
    """
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    own = folder / settings_key(preprocessor)
    with (folder / _LOCK).open("w", encoding="ascii") as lock:
        _lock(lock, alone=False)
        yield ShardCache(own, (preprocessor.channels, *preprocessor.size)), Pruner(own, lock)


@dataclass(frozen=True)
class Pruner:
    """Removes what a successful run has not used.

    Attributes:
        own: Folder of the run's own entries; its parent is the cache.
        lock: The open lock file.
    """

    own: Path
    lock: IO[str]

    def prune(self, used: Container[str]) -> None:
        """Remove all entries but those of these keys, unless another run is using the cache."""
        if not _lock(self.lock, alone=True):
            return
        for path in self.own.parent.iterdir():
            if path.is_dir() and path != self.own:
                shutil.rmtree(path, ignore_errors=True)
        for path in self.own.glob("*"):
            if path.stem not in used:
                path.unlink(missing_ok=True)


def _lock(file: IO[str], *, alone: bool) -> bool:
    """Share the cache with other runs, or ask whether there are none. The lock ends with the process."""
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB if alone else fcntl.LOCK_SH)
    except OSError:  # held by others, or a file system without locks: then nothing is known of others
        return False
    return True


def _read_entry(path: Path) -> tuple[list[str], list[int]]:
    """Return an entry's row keys and checksums; none where it is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="ascii"))
        rows, checksums = content["rows"], content["checksums"]
        if len(rows) == len(checksums) and shard_key(rows) == path.stem:
            return rows, checksums
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return [], []


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except (FileNotFoundError, FileExistsError):
        raise
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(source, target)


@cache
def _code_digest() -> str:
    """Hash the code and the versions of the libraries that decide what a scan becomes."""
    package = Path(scanlens.__file__).parent
    digest = hashlib.sha256()
    for part in _CODE:
        for path in sorted((package / part).rglob("*.py")) or [package / part]:
            digest.update(path.relative_to(package).as_posix().encode() + b"\n" + path.read_bytes())
    for requirement in sorted(importlib.metadata.requires("scanlens") or []):
        name = re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            digest.update(f"{name}=={importlib.metadata.version(name)}\n".encode())
    return digest.hexdigest()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:_DIGITS]

"""Zip archives of scans: what lies in them, and taking out single members without trusting any.

An archive is a stranger's: its member names may lead elsewhere, its sizes may lie, it may hold links or
unpack a thousandfold. Members are therefore written under names of our own into a private folder, only
those asked for, only as many bytes as the directory declares, and nothing is asked of an archive inside one.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache, lru_cache
from pathlib import Path, PurePosixPath

from scanlens.errors import UnreadableScan

MAX_UNPACKED = 1 << 34
"""Bytes that are unpacked for one scan at most."""
MAX_RATIO = 200
"""Scans pack 1 to 5 times; an archive of nothing else packs a thousandfold."""
RATIO_FROM = 1 << 20
"""Bytes that may unpack from nothing: small blank images pack well."""
_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
_BLOCK = 1 << 20
_ENCRYPTED = 0x1
# bzip2 and LZMA unpack without a limit on what one step returns.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENDING = re.compile(r"(\.nii)?\.[A-Za-z0-9]{1,8}$")
_DOCUMENTS = ("[Content_Types].xml", "mimetype", "META-INF/MANIFEST.MF")
_LEFT_BEHIND = frozenset({"__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "$recycle.bin"})
"""What systems leave among other files, in lower case."""
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeError, ValueError, KeyError)
"""What ``zipfile`` raises on archives that are damaged or unusual."""


def is_archive(head: bytes) -> bool:
    """Tell from the first bytes whether this is a zip file."""
    return head.startswith(_MAGIC)


def left_behind(name: str) -> bool:
    """Tell whether a file or folder is one that a system keeps for itself, such as ``Thumbs.db``."""
    return name.lower() in _LEFT_BEHIND


def list_members(path: Path, reference: str) -> Mapping[str, str]:
    """List an archive's files, without folders, hidden files, DICOMDIR and what systems leave behind.

    Returns:
        Why each can't be used, or an empty string, by name in sorted order.

    Raises:
        UnreadableScan: The archive is damaged, an office document, or declares more than any scans unpack to.
    """
    members, problem = _members(path, *stamp(path))
    if problem:
        raise UnreadableScan(reference, problem)
    return members


@contextmanager
def unpacked(path: Path, names: Sequence[str], reference: str) -> Iterator[list[Path]]:
    """Yield the named members as files in a private folder that is removed afterwards.

    Raises:
        UnreadableScan: The archive holds no such member, one may not be unpacked, or all of them together
            are larger than :data:`MAX_UNPACKED`.
        OSError: The disk is full.
    """
    members = list_members(path, reference)
    for name in names:
        if problem := members.get(name, "there is no such file in the archive"):
            raise UnreadableScan(reference, problem)
    with scratch_folder() as folder:
        archive = _archive(path)
        entries = [archive.getinfo(name) for name in names]
        if sum(entry.file_size for entry in entries) > MAX_UNPACKED:
            raise UnreadableScan(reference, f"unpacks to more than {MAX_UNPACKED >> 30} GiB")
        files = [_place(folder, number, entry) for number, entry in enumerate(entries)]
        for entry, file in zip(entries, files, strict=True):
            try:
                _write(archive, entry, file, entry.file_size)
            except DAMAGED as error:
                reason = f"a damaged file in the archive ({type(error).__name__})"
                raise UnreadableScan(reference, reason) from error
        yield files


def unpacked_heads(path: Path, most: int, reference: str) -> Iterator[tuple[str, Path]]:
    """Yield every usable member's name and its beginning as a file; damaged ones are left out.

    A file is removed before the next one is written, so that an archive never fills the disk.

    Args:
        path: The archive.
        most: Bytes of each member.
        reference: What is read, for the reason.

    Raises:
        UnreadableScan: The archive is damaged.
        OSError: The disk is full.
    """
    names = [name for name, problem in list_members(path, reference).items() if not problem]
    with scratch_folder() as folder:
        archive = _archive(path)
        for number, name in enumerate(names):
            entry = archive.getinfo(name)
            file = _place(folder, number, entry)
            with suppress(*DAMAGED):  # it is listed by itself, and refused with a reason when it is read
                _write(archive, entry, file, min(most, entry.file_size))
                yield name, file
            file.unlink(missing_ok=True)


def _place(folder: Path, number: int, entry: zipfile.ZipInfo) -> Path:
    """Return a name of our own: the member's is never used, only its ending, which some readers look at."""
    match = _ENDING.search(PurePosixPath(entry.filename).name)
    return folder / f"{number:06d}{match[0] if match else ''}"


def _write(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, file: Path, most: int) -> None:
    # zipfile hands out no more bytes than the directory declares, and compares their sum at the end.
    with archive.open(entry) as packed, file.open("xb") as target:
        while most > 0 and (block := packed.read(min(_BLOCK, most))):
            most -= target.write(block)


def _archive(path: Path) -> zipfile.ZipFile:
    return _opened(path, *stamp(path))


def stamp(path: Path) -> tuple[int, int]:
    """Return when a file was modified (nanoseconds) and its bytes: the version of it that a cache holds."""
    state = path.stat()
    return state.st_mtime_ns, state.st_size


@lru_cache(maxsize=4)
def _opened(path: Path, modified_ns: int, size: int) -> zipfile.ZipFile:
    """Open an archive and keep it open: reading its directory for each of 10,000 members takes an hour.

    Some programs write backslashes between folders, which the format does not allow: they become ``/``.
    """
    archive = zipfile.ZipFile(path)
    for entry in archive.infolist():
        entry.filename = entry.filename.replace("\\", "/")
    archive.NameToInfo = {entry.filename: entry for entry in archive.infolist()}
    return archive


@lru_cache(maxsize=4)
def _members(path: Path, modified_ns: int, size: int) -> tuple[Mapping[str, str], str]:
    """Return the members with their problems, and what is wrong with the archive as a whole."""
    try:
        entries = [entry for entry in _opened(path, modified_ns, size).infolist() if not entry.is_dir()]
    except DAMAGED as error:
        return {}, f"a damaged zip archive ({type(error).__name__})"
    if not all(0 <= entry.header_offset < size for entry in entries):
        return {}, "a damaged zip archive"
    if any(entry.filename in _DOCUMENTS for entry in entries):
        return {}, "a document, not an archive of scans"
    total = sum(entry.file_size for entry in entries)
    if total > MAX_RATIO * size + RATIO_FROM:
        return {}, "an archive that unpacks to far more than scans do"
    entries = [entry for entry in entries if not _hidden(entry.filename)]
    if not entries:
        return {}, "an archive without files"
    counts = Counter(entry.filename for entry in entries)
    return {
        entry.filename: _problem(entry, counts[entry.filename])
        for entry in sorted(entries, key=lambda entry: entry.filename)
    }, ""


def _hidden(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return any(
        (part.startswith(".") and part != "..") or part == "DICOMDIR" or left_behind(part) for part in parts
    )


def _problem(entry: zipfile.ZipInfo, count: int) -> str:
    name = PurePosixPath(entry.filename)
    if name.is_absolute() or ".." in name.parts:
        return "its name leads outside the archive"
    if count > 1:
        return "its name occurs twice in the archive"
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        return "a link or device in the archive, not a file"
    return packing_problem(entry)


def packing_problem(entry: zipfile.ZipInfo) -> str:
    """Return why a member may not be unpacked, whatever its name, or an empty string."""
    if entry.flag_bits & _ENCRYPTED:
        return "encrypted: unpack the archive with its password first"
    if entry.compress_type not in _METHODS:
        return "packed by a method that is not unpacked here: pack it again as a plain zip"
    if entry.file_size > MAX_RATIO * entry.compress_size + RATIO_FROM:
        return "unpacks to far more than scans do"
    return ""


# Private temporary folders for what is unpacked, gone afterwards even if the process is killed.
#
# A worker that takes too long is killed, and a killed process removes nothing. Each folder therefore holds a
# lock that dies with its process, and the next process that makes a folder removes those whose lock is free.
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

"""Which DICOM series lie in a folder, a tree or an archive, grouped once: 100 series are not read 100 times.

Files of one series belong together, as slices of a volume. Everything else (files of several frames, single
images, other formats, what cannot be read) is a scan, or a refusal, of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path, PurePosixPath

from scanlens.privacy.pseudonym import load_key
from scanlens.sources.readers.archive import list_members, stamp, unpacked_heads
from scanlens.sources.readers.dicom_file import HEADER_BYTES
from scanlens.sources.readers.series import Stray, slice_of
from scanlens.sources.readers.series_groups import Found, Placed, Series, group_slices, place_series

_Stamp = tuple[str, int, int]
"""A file's path, when it was modified (nanoseconds) and its bytes: an altered one is looked at anew. The path
is text, as thousands are compared each time."""


def folder_slices(base: Path, folder: str) -> Sequence[Found]:
    """Return what the files right in a folder hold; sound DICOM objects that are no scans are left out.

    Hidden files, and links that lead out of the data root, do not count; nor does a folder outside it.

    Args:
        base: The data root.
        folder: Its name below it.
    """
    return _looked_at(folder, _files(base, folder))


def folder_series(base: Path, folder: str) -> Mapping[str, Series]:
    """Return the series of several slices among the files right in a folder.

    Returns:
        Series, their files named below the root, by the twelve hexadecimal digits that name them.
    """
    return _grouped(folder, tuple(_files(base, folder)))


def tree_series(base: Path, folder: str) -> Sequence[Placed]:
    """Return the series formed over a folder and all below it; links to folders are not followed.

    Args:
        base: The data root.
        folder: Its name below it.
    """
    found = []
    for below, folders, _ in os.walk(base / folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        name = Path(below).relative_to(base).as_posix()
        found.append((name, tuple(_files(base, name))))
    return _placed(tuple(found))


def archive_series(path: Path, reference: str) -> Mapping[str, Series]:
    """Return the series of several slices in an archive, in whichever of its folders.

    Returns:
        Series, of members by their names, by the twelve hexadecimal digits that name them.

    Raises:
        UnreadableScan: The archive is damaged.
    """
    list_members(path, reference)
    return _members_grouped(path, *stamp(path))


def _files(base: Path, folder: str) -> list[_Stamp]:
    found: list[_Stamp] = []
    base = base.resolve()
    if not (base / folder).resolve().is_relative_to(base):
        return found
    with os.scandir(base / folder) as entries:
        for entry in entries:
            try:
                if entry.name.startswith(".") or not entry.is_file():
                    continue
                if entry.is_symlink() and not Path(entry.path).resolve().is_relative_to(base):
                    continue
                state = entry.stat()
            except OSError:  # a loop of links, or gone meanwhile
                continue
            found.append((entry.path, state.st_mtime_ns, state.st_size))
    return sorted(found)


def _looked_at(folder: str, files: Iterable[_Stamp]) -> list[Found]:
    paths = [Path(path) for path, _, _ in files]
    found = [slice_of(path, (PurePosixPath(folder) / path.name).as_posix()) for path in paths]
    return [one for one in found if one is not None]


@lru_cache(maxsize=8)
def _grouped(folder: str, files: tuple[_Stamp, ...]) -> Mapping[str, Series]:
    return _several(group_slices(_looked_at(folder, files), load_key()))


@lru_cache(maxsize=4)
def _placed(folders: tuple[tuple[str, tuple[_Stamp, ...]], ...]) -> Sequence[Placed]:
    return place_series({folder: _looked_at(folder, files) for folder, files in folders}, load_key())


@lru_cache(maxsize=8)
def _members_grouped(path: Path, modified_ns: int, size: int) -> Mapping[str, Series]:
    sound = [name for name, problem in list_members(path, path.name).items() if not problem]
    found = dict[str, Found | None]()
    for name, head in unpacked_heads(path, HEADER_BYTES, path.name):
        found[name] = slice_of(head, name)
    damaged = [Stray(name) for name in sound if name not in found]
    slices = [one for one in found.values() if one is not None]
    return _several(group_slices([*slices, *damaged], load_key()))


def _several(groups: Mapping[str, Series]) -> Mapping[str, Series]:
    return {number: series for number, series in groups.items() if len(series.names) > 1}

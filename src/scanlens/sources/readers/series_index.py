"""Which DICOM series lie in a folder or an archive, grouped once: 100 series are not read 100 times.

Files of one series belong together, as slices of a volume. Everything else (files of several frames, single
images, other formats, what cannot be read) is a scan, or a refusal, of its own.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from scanlens.privacy.pseudonym import load_key
from scanlens.sources.readers.archive import list_members, stamp, unpacked_heads
from scanlens.sources.readers.dicom_file import HEADER_BYTES
from scanlens.sources.readers.series import group_series, group_slices, slice_of

_Stamp = tuple[str, int, int]
"""A file's path, when it was modified (nanoseconds) and its bytes: an altered one is looked at anew. The path
is text, as thousands are compared each time."""


def folder_series(base: Path, folder: Path) -> Mapping[str, tuple[Path, ...]]:
    """Return the series of the files right in a folder.

    Hidden files, and links that lead out of the data root, do not count; nor does a folder outside it.

    Args:
        base: The data root, resolved.
        folder: Below it.

    Returns:
        Files by the twelve hexadecimal digits that name their series.
    """
    return _grouped(tuple(_files(base, folder)))


def archive_series(path: Path, reference: str) -> Mapping[str, tuple[str, ...]]:
    """Return the series in an archive, in whichever of its folders.

    Returns:
        Members by the twelve hexadecimal digits that name their series.

    Raises:
        UnreadableScan: The archive is damaged.
    """
    list_members(path, reference)
    return _members_grouped(path, *stamp(path))


def _files(base: Path, folder: Path) -> list[_Stamp]:
    found: list[_Stamp] = []
    if not folder.resolve().is_relative_to(base):
        return found
    with os.scandir(folder) as entries:
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


@lru_cache(maxsize=8)
def _grouped(files: tuple[_Stamp, ...]) -> Mapping[str, tuple[Path, ...]]:
    groups = group_series([Path(path) for path, _, _ in files], load_key())
    return {series: tuple(paths) for series, paths in groups.items() if len(paths) > 1}


@lru_cache(maxsize=8)
def _members_grouped(path: Path, modified_ns: int, size: int) -> Mapping[str, tuple[str, ...]]:
    slices, names = [], dict[Path, str]()
    for name, head in unpacked_heads(path, HEADER_BYTES, path.name):
        if (one := slice_of(head)) is not None:
            slices.append(one)
            names[head] = name
    groups = group_slices(slices, load_key())
    return {
        series: tuple(names[head] for head in found) for series, found in groups.items() if len(found) > 1
    }

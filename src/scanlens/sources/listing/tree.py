"""Everything below a folder, each file once, as references to scans.

What is no scan is listed too and refused with a reason when it is read; only hidden files, DICOMDIR files,
what systems leave behind (``__MACOSX``, ``Thumbs.db``) and what scanlens wrote are passed over. Links are
followed once and never out of the data root.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path, PurePosixPath

import pandas as pd
from tqdm import tqdm

from scanlens.errors import UnreadableScan
from scanlens.privacy.pseudonym import load_key
from scanlens.reference import Reference
from scanlens.sources.listing.written import is_written
from scanlens.sources.locate import OUTSIDE, base_folder, locate, os_reason, printable
from scanlens.sources.readers.archive import is_archive, left_behind, list_members
from scanlens.sources.readers.dicomdir import is_dicomdir, missing_files
from scanlens.sources.readers.medmnist import list_rows
from scanlens.sources.readers.series_groups import Found, place_series
from scanlens.sources.readers.series_index import archive_series, folder_slices

_Row = tuple[str, str]
"""A reference and why it cannot be used, if so."""
_HEAD_BYTES = 4
_NPZ = ".npz"
_TWICE = "a link to a folder that is listed already"


@dataclass
class _Walk:
    """A walk below a folder, real folders before linked ones, so that a link never hides the real one."""

    base: Path
    skip: Callable[[Path], bool]
    seen: set[Path] = field(default_factory=set)
    problems: list[tuple[Path, str]] = field(default_factory=list)

    def folders(self, start: Path) -> Iterator[tuple[Path, list[Path]]]:
        """Yield each folder that can be read with its files, sorted; the others become problems."""
        real, linked = [start], list[Path]()
        while real or linked:
            folder = real.pop() if real else linked.pop(0)
            entries = self._entries(folder)
            if entries is None:
                continue
            files = []
            for entry in entries:
                skipped = entry.name.startswith(".") or left_behind(entry.name) or is_written(entry)
                if skipped or self.skip(entry):
                    continue
                if not _is_folder(entry):
                    files.append(entry)
                elif entry.is_symlink():
                    linked.append(entry)
                else:
                    real.append(entry)
            yield folder, files

    def _entries(self, folder: Path) -> list[Path] | None:
        """Return what lies in a folder, or None where that is a problem, which is noted."""
        try:
            target = folder.resolve(strict=True)
            if not target.is_relative_to(self.base):
                self.problems.append((folder, OUTSIDE))
                return None
            if target in self.seen:
                self.problems.append((folder, _TWICE))
                return None
            self.seen.add(target)
            return sorted(folder.iterdir())
        except OSError as error:
            self.problems.append((folder, os_reason(error)))
        except RuntimeError:  # Python below 3.13 reports a loop of links this way
            self.problems.append((folder, "a loop of symbolic links"))
        return None


def list_tree(
    root: Path,
    *,
    dims: int,
    below: str = ".",
    skip: Callable[[Path], bool] = lambda path: False,
    progress: str | None = None,
) -> pd.DataFrame:
    """List every file below a folder once.

    With ``dims=3`` the single-frame DICOM files of one series become one reference, in whichever folders they
    lie (:func:`scanlens.sources.readers.series_groups.place_series`); an archive becomes its
    files or series, and a MedMNIST file its rows. Files that a DICOMDIR names and that are missing have rows
    with that problem.

    Args:
        root: The data root, or one file in it.
        dims: 2 for images, 3 for volumes.
        below: A folder below the root to list instead of all.
        skip: Tells files and folders to pass over, by their paths.
        progress: What a progress bar is called; None for no bar.

    Returns:
        ``path`` (a reference, see :mod:`scanlens.reference`) and ``problem`` (why it cannot be used,
        or empty), sorted by path.
    """
    base = base_folder(root)
    walk = _Walk(base.resolve(), skip)
    rows: list[_Row] = []
    files: dict[str, list[Path]] = {}
    found: dict[str, Sequence[Found]] = {}
    with tqdm(desc=progress, unit="file", disable=progress is None) as bar:
        folders = [(base, [root])] if root.is_file() else walk.folders(root / below)
        for folder, entries in folders:
            name = _relative(base, folder)
            files[name] = entries
            if dims == 3 and not root.is_file():
                try:
                    found[name] = folder_slices(base, name)
                except OSError as error:  # closed or gone since it was walked
                    rows.append((printable(name)[0], os_reason(error)))
            bar.update(len(entries))
    listed = {_relative(base, file) for entries in files.values() for file in entries}
    slices: set[str] = set()
    for one in place_series(found, load_key()) if found else ():
        if listed.isdisjoint(one.series.names):  # all are skipped
            continue
        slices.update(one.series.names)
        name, problem = printable(one.folder)
        reference = Reference(name, series="" if one.alone else one.number)
        rows.append((str(reference), problem or one.problem))
    for file in chain.from_iterable(files.values()):
        if _relative(base, file) not in slices:
            rows += _file_rows(root, base, file, dims)
    rows += [printable(_relative(base, path), problem) for path, problem in walk.problems]
    return pd.DataFrame(sorted(rows), columns=["path", "problem"], dtype="str")


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _relative(base: Path, path: Path) -> str:
    return path.relative_to(base).as_posix()


def _file_rows(root: Path, base: Path, file: Path, dims: int) -> Iterator[_Row]:
    name, problem = printable(_relative(base, file))
    if problem:
        yield name, problem
        return
    try:
        path = locate(root, name)
        if is_dicomdir(path):
            beside = PurePosixPath(name).parent
            for missing in missing_files(path, name):
                yield printable((beside / missing).as_posix(), "missing: a DICOMDIR names it")
            return
        if path.suffix.lower() == _NPZ:
            yield from ((f"{name}#{row.rpartition('#')[2]}", "") for row in list_rows(path))
            return
        with path.open("rb") as stream:
            head = stream.read(_HEAD_BYTES)
        if is_archive(head):
            yield from _archive_rows(path, name, dims)
            return
    except UnreadableScan as refused:
        yield name, refused.reason
        return
    except OSError as error:
        yield name, os_reason(error)
        return
    yield name, ""


def _archive_rows(path: Path, name: str, dims: int) -> Iterator[_Row]:
    members = list_members(path, name)
    series = archive_series(path, name) if dims == 3 else {}
    slices = {member for one in series.values() for member in one.names}
    for number in series:
        yield str(Reference(name, series=number if len(series) > 1 else "")), ""
    for member, problem in members.items():
        if member not in slices:
            yield str(Reference(name, member=member)), problem

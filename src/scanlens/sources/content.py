"""The files behind a reference: itself, a folder's series, or what is taken out of an archive for a while."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from scanlens.errors import UnreadableScan
from scanlens.privacy.aliases import is_alias, resolve_alias
from scanlens.reference import Reference, parse_reference
from scanlens.sources.locate import A_FOLDER, base_folder, locate
from scanlens.sources.readers.archive import is_archive, list_members, unpacked
from scanlens.sources.readers.series_groups import Series
from scanlens.sources.readers.series_index import archive_series, folder_series, tree_series

_HEAD_BYTES = 4
_NPZ = ".npz"  # a zip file too, read by rows
_A_SERIES = "a series of slices is a volume: set data.dims=3"
_A_FRAME = "one frame is an image, not a volume: set data.dims=2"


@dataclass(frozen=True)
class Content:
    """What a reference means.

    Attributes:
        reference: Taken apart, aliases resolved.
        files: The one file, or the slices of a series.
        is_series: Whether the files are slices.
        called: What reasons call each file: its path below the root or in its archive; under aliases its
            number.
        damaged: What reasons call files that should be slices of the series and are none.
    """

    reference: Reference
    files: Sequence[Path]
    is_series: bool = False
    called: Sequence[str] = ()
    damaged: Sequence[str] = ()


@contextmanager
def opened(root: Path, reference: str) -> Iterator[Content]:
    """Yield the files behind a reference; what was unpacked is removed when the block ends.

    Args:
        root: The data root: a folder, or a MedMNIST ``.npz`` file.
        reference: As :mod:`scanlens.reference` describes it, or an alias. Reasons name it as given.

    Raises:
        UnreadableScan: It leads outside the root, to nothing, to a folder or archive of several series, or to
            an archive that must not be unpacked.
        SettingsError: The book of aliases is missing or damaged.
    """
    parts, path = _located(root, reference)
    if path.is_dir():
        base = base_folder(root).resolve()
        series = _series(base, path.relative_to(base).as_posix(), parts, reference)
        yield _content(parts, [base / name for name in series.names], series, reference)
    elif parts.row is None and _is_archive(path, parts):
        chosen = _chosen(path, parts, reference)
        names = [chosen] if isinstance(chosen, str) else chosen.names
        with unpacked(path, names, reference) as files:
            if isinstance(chosen, str):
                yield Content(parts, files)
            else:
                yield _content(parts, files, chosen, reference)
    else:
        yield Content(parts, [path])


def _content(parts: Reference, files: Sequence[Path], series: Series, reference: str) -> Content:
    if not is_alias(reference):
        return Content(parts, files, True, series.names, series.damaged)
    # An alias hides what may name a patient: a folder, a file.
    called = [f"file {number} of {len(files)}" for number in range(1, len(files) + 1)]
    return Content(parts, files, True, called, [f"{len(series.damaged)} files"] if series.damaged else [])


def problem_of(root: Path, reference: str, *, dims: int = 2) -> str:
    """Return why a reference cannot be used, or an empty string where its file is there.

    Nothing is unpacked and no folder sorted into series: what only that can tell is a reason later.
    """
    try:
        parts, path = _located(root, reference)
        if parts.member:
            return list_members(path, reference).get(parts.member, "there is no such file in the archive")
    except UnreadableScan as refused:
        return refused.reason
    if dims == 2 and (parts.series or path.is_dir()):
        return _A_SERIES if parts.series else A_FOLDER
    return _A_FRAME if dims == 3 and parts.frame is not None else ""


def parts_of_series(root: Path, references: Iterable[str]) -> dict[str, str]:
    """Find folders whose series goes on in other folders: read, they would be a part taken for the whole.

    The headers of all files below the root are read, once, where a reference names a folder.

    Returns:
        Why each such reference cannot be used.
    """
    base = base_folder(root).resolve()
    folders = dict[str, str]()
    for reference in references:
        with suppress(UnreadableScan):
            _, path = _located(root, reference)
            if path.is_dir():
                folders[reference] = path.relative_to(base).as_posix()
    problems = dict[str, str]()
    for one in tree_series(base, ".") if folders else ():
        count, held = len(one.series.folders), set(one.series.folders)
        if one.problem:
            problems |= {reference: one.problem for reference, folder in folders.items() if folder in held}
        if count == 1:
            continue
        # No folder is named: under aliases, this reason must name none.
        reason = f"a part of a series in {count} folders: name the one that holds them, #series/{one.number}"
        for reference, folder in folders.items():
            if folder in held and parse_reference(resolve_alias(reference)).series != one.number:
                problems[reference] = f"{reason} behind it"
    return problems


def refuse_other_dims(content: Content, reference: str, dims: int) -> None:
    """Refuse slices where images are wanted, and single frames where volumes are.

    Raises:
        UnreadableScan: The reference names the other kind.
    """
    if dims == 2 and content.is_series:
        raise UnreadableScan(reference, _A_SERIES)
    if dims == 3 and content.reference.frame is not None:
        raise UnreadableScan(reference, _A_FRAME)


def _located(root: Path, reference: str) -> tuple[Reference, Path]:
    parts = parse_reference(resolve_alias(reference))
    try:
        path = locate(root, parts.path, folder=True)
    except UnreadableScan as refused:
        raise UnreadableScan(reference, refused.reason) from refused
    if path.is_dir() and (parts.member or parts.frame is not None or parts.row is not None):
        raise UnreadableScan(reference, A_FOLDER)
    return parts, path


def _is_archive(path: Path, parts: Reference) -> bool:
    if parts.member or parts.series:
        return True
    if path.suffix.lower() == _NPZ:
        return False
    with path.open("rb") as file:
        return is_archive(file.read(_HEAD_BYTES))


def _series(base: Path, folder: str, parts: Reference, reference: str) -> Series:
    """Return the series that a folder's name, with or without a number behind it, means.

    What lies right in the folder comes first; what is formed over all below it is asked for where needed.
    """
    here = folder_series(base, folder)
    if parts.series in here:
        return here[parts.series]
    if parts.series:
        below = [
            one for one in tree_series(base, folder) if (one.folder, one.number) == (folder, parts.series)
        ]
        if not below:
            raise UnreadableScan(reference, "there is no such series in the folder")
        return below[0].series
    if len(here) == 1:
        return next(iter(here.values()))
    below = [] if here else list(tree_series(base, folder))
    if len(below) == 1:
        return below[0].series
    several = f"a folder of {len(here) or len(below)} series: name one of them"
    raise UnreadableScan(reference, several if here or below else "a folder without a DICOM series")


def _chosen(path: Path, parts: Reference, reference: str) -> str | Series:
    """Return the one member that a reference means, or its series."""
    if parts.member:
        return parts.member
    members = list_members(path, reference)
    if not parts.series and len(members) == 1:
        return next(iter(members))
    series = archive_series(path, reference)
    if parts.series:
        if parts.series not in series:
            raise UnreadableScan(reference, "there is no such series in the archive")
        return series[parts.series]
    if len(series) != 1:
        raise UnreadableScan(
            reference, f"an archive of {len(members)} files and {len(series)} series: name one of them"
        )
    return next(iter(series.values()))

"""The files behind a reference: itself, a folder's series, or what is taken out of an archive for a while."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scanlens.errors import UnreadableScan
from scanlens.privacy.aliases import resolve_alias
from scanlens.reference import Reference, parse_reference
from scanlens.sources.locate import A_FOLDER, base_folder, locate
from scanlens.sources.readers.archive import is_archive, list_members, unpacked
from scanlens.sources.readers.series_index import archive_series, folder_series

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
    """

    reference: Reference
    files: Sequence[Path]
    is_series: bool = False


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
        yield Content(parts, _slices(root, path, parts, reference), is_series=True)
    elif parts.row is None and _is_archive(path, parts):
        names, is_series = _chosen(path, parts, reference)
        with unpacked(path, names, reference) as files:
            yield Content(parts, files, is_series)
    else:
        yield Content(parts, [path])


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


def _slices(root: Path, folder: Path, parts: Reference, reference: str) -> Sequence[Path]:
    series = folder_series(base_folder(root).resolve(), folder)
    if parts.series:
        if parts.series not in series:
            raise UnreadableScan(reference, "there is no such series in the folder")
        return series[parts.series]
    if len(series) != 1:
        several = f"a folder of {len(series)} series: name one of them"
        raise UnreadableScan(reference, several if series else "a folder without a DICOM series")
    return next(iter(series.values()))


def _chosen(path: Path, parts: Reference, reference: str) -> tuple[Sequence[str], bool]:
    """Return the members a reference means, and whether they are slices."""
    if parts.member:
        return [parts.member], False
    members = list_members(path, reference)
    if not parts.series and len(members) == 1:
        return list(members), False
    series = archive_series(path, reference)
    if parts.series:
        if parts.series not in series:
            raise UnreadableScan(reference, "there is no such series in the archive")
        return series[parts.series], True
    if len(series) != 1:
        raise UnreadableScan(
            reference, f"an archive of {len(members)} files and {len(series)} series: name one of them"
        )
    return next(iter(series.values())), True

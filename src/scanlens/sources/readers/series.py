"""One DICOM series in many files: finding which files belong together, and making them a volume.

Nothing but the headers says what belongs together and in which order: file names and instance numbers are
not asked. Checks run on the headers of all files before a pixel of one is decoded.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from scanlens.errors import UnreadableScan
from scanlens.sources.readers.axes import ORIENTATION
from scanlens.sources.readers.dicom import about, decode, read_dicom
from scanlens.sources.readers.dicom_elements import GREYS
from scanlens.sources.readers.dicom_file import open_header, open_image
from scanlens.sources.readers.dicom_values import text, whole_number
from scanlens.sources.readers.quiet import quiet
from scanlens.sources.readers.series_geometry import Plane, assemble, plane_of, stack
from scanlens.types import ImageArray, Scan

_ID_DIGITS = 12
_SAME_DIRECTION = 0.01  # of direction cosines within one group
_KEYWORDS = (
    "ImageType",
    "PatientID",
    "SeriesInstanceUID",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PhotometricInterpretation",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "NominalScannedPixelSpacing",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)


@dataclass(frozen=True)
class Slice:
    """What the header of one file says of its place in a series. In memory only: it identifies.

    Attributes:
        path: The file.
        series: SeriesInstanceUID, empty where there is none.
        patient: PatientID.
        photometric: Photometric interpretation.
        frames: How many the file holds.
        shape: Rows and columns.
        plane: Where its first frame lies; None where the header does not say.
        localizer: Whether ImageType calls it one.
    """

    path: Path = field(repr=False)
    series: str = field(repr=False)
    patient: str = field(repr=False)
    photometric: str
    frames: int
    shape: tuple[int, int]
    plane: Plane | None
    localizer: bool

    @property
    def cosines(self) -> tuple[float, ...]:
        """Directions of growing column and row; empty where unknown."""
        return () if self.plane is None else (*self.plane.across.tolist(), *self.plane.down.tolist())


def slice_of(path: Path) -> Slice | None:
    """Read from a file's header what grouping asks; None where it is damaged, no DICOM or no image."""
    with quiet():
        try:
            header = open_header(path, _KEYWORDS)
            return None if header is None else _described(path, header)
        except MemoryError:
            raise
        # pydicom raises dozens of types on damaged files, and a folder may hold any file: whichever it is,
        # the file is no slice.
        except Exception:
            return None


def group_series(paths: Iterable[Path], key: bytes) -> dict[str, list[Path]]:
    """Group the single-frame DICOM images among some files by series, reading headers only.

    Args:
        paths: Any files; those that are no DICOM, hold no image or several frames (a volume each), name no
            series or are damaged are left out.
        key: The site's pseudonym key.

    Returns:
        Files in sorted order by id, ids in sorted order, as :func:`group_slices` does.
    """
    found = (slice_of(path) for path in sorted(paths))
    return group_slices([one for one in found if one is not None], key)


def group_slices(slices: Iterable[Slice], key: bytes) -> dict[str, list[Path]]:
    """Group slices by series; one group is one candidate for a volume.

    Slices of one SeriesInstanceUID that differ in shape or orientation are groups of their own: their id is
    made of the UID and of what differs. Localizers (scouts) stay with the series' first group, and
    :func:`read_series` drops them.
    """
    series: dict[str, list[Slice]] = {}
    for one in slices:
        if one.series and one.frames == 1:
            series.setdefault(one.series, []).append(one)
    groups: dict[str, list[Path]] = {}
    for uid, members in series.items():
        kinds = _kinds([one for one in members if not one.localizer]) or [[]]
        kinds[0].extend(one for one in members if one.localizer)
        for kind in kinds:
            name = uid if len(kinds) == 1 else f"{uid} {kind[0].shape} {np.round(kind[0].cosines, 2) + 0.0}"
            groups[_digits(name, key)] = sorted(one.path for one in kind)
    return dict(sorted(groups.items()))


def _kinds(slices: list[Slice]) -> list[list[Slice]]:
    """Part slices that differ in shape or direction, whatever their order and their files' names."""
    kinds: list[list[Slice]] = []
    for one in sorted(slices, key=lambda one: (one.shape, one.cosines)):
        for kind in kinds:
            first = kind[0]
            if (one.shape, len(one.cosines)) == (first.shape, len(first.cosines)) and np.allclose(
                one.cosines, first.cosines, rtol=0, atol=_SAME_DIRECTION
            ):
                kind.append(one)
                break
        else:
            kinds.append([one])
    return kinds


def read_series(paths: Sequence[Path], reference: str, *, max_pixels: int) -> Scan:
    """Read the files of one series as a volume.

    Args:
        paths: The files, in any order.
        reference: The series as its user names it, for the reason.
        max_pixels: The most pixels of the volume, judged before any is decoded.

    Returns:
        ``pixels`` (1, depth, height, width) in the axes of :mod:`scanlens.sources.readers.axes`, each slice
        in the units of its own rescale; a tilted gantry's slices put straight. Everything else is said by the
        first slice along the normal.

    Raises:
        UnreadableScan: The files are not one series of one patient, hold colour, have no positions, leave
            gaps, lie unevenly, repeat a position with other pixels, or hold more than ``max_pixels``.
        Exception: Whatever pydicom and its decoders raise; the caller turns it into a reason.
    """
    slices = _checked(paths, reference)
    if len(slices) == 1:
        return read_dicom(slices[0].path, reference, dims=3, max_pixels=max_pixels)
    planes = [one.plane for one in slices if one.plane is not None]
    if len(planes) < len(slices):
        raise UnreadableScan(reference, "slices without a position or orientation cannot be put in order")
    made = stack(planes, reference)

    def pixels_of(number: int) -> ImageArray:
        dataset, _ = open_image(slices[number].path, reference, max_pixels)
        return decode(dataset, [0]).pixels[0, 0]

    volume, sides = assemble(made, pixels_of, reference, max_pixels)
    first, _ = open_image(slices[made.order[0][0]].path, reference, max_pixels)
    found = decode(first, [0])
    return Scan(
        pixels=volume[None],
        spacing=sides,
        orientation=ORIENTATION,
        affine=made.scan_affine,
        window=found.window,
        bits=found.bits,
        rescaled=found.rescaled,
        wobble=made.wobble,
        **about(first),
    )


def _checked(paths: Sequence[Path], reference: str) -> list[Slice]:
    """Return the slices without localizers, once they are known to be of one series and one patient."""
    found = [slice_of(path) for path in sorted(paths)]
    slices = [one for one in found if one is not None]
    if len(slices) < len(found):
        raise UnreadableScan(reference, f"{len(found) - len(slices)} of its files hold no readable image")
    if not slices:
        raise UnreadableScan(reference, "holds no DICOM image")
    if len({one.series for one in slices}) > 1:
        raise UnreadableScan(reference, "several series: name one of them")
    if len({one.patient for one in slices}) > 1:
        raise UnreadableScan(reference, "its files name more than one patient")
    kept = [one for one in slices if not one.localizer]
    if not kept:
        raise UnreadableScan(reference, "localizer images only, not a volume")
    if len(kept) > 1 and any(one.frames > 1 for one in kept):
        raise UnreadableScan(reference, "several files of several frames each: name one of them")
    if any(one.photometric not in GREYS for one in kept):
        raise UnreadableScan(reference, "colour images, not a volume: set data.dims=2")
    return kept


def _described(path: Path, header: Dataset) -> Slice | None:
    rows, columns = whole_number(header, "Rows"), whole_number(header, "Columns")
    frames = whole_number(header, "NumberOfFrames", absent=1)
    if not rows or not columns or not frames:
        return None
    return Slice(
        path=path,
        series=text(header, "SeriesInstanceUID"),
        patient=text(header, "PatientID"),
        photometric=text(header, "PhotometricInterpretation"),
        frames=frames,
        shape=(rows, columns),
        plane=plane_of(header),
        localizer="LOCALIZER" in text(header, "ImageType").upper(),
    )


def _digits(identifier: str, key: bytes) -> str:
    return hmac.new(key, identifier.encode("utf-8", "backslashreplace"), hashlib.sha256).hexdigest()[
        :_ID_DIGITS
    ]

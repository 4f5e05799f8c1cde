"""One DICOM series in many files: what each header says of its place, and making them a volume.

Which files belong together :mod:`scanlens.sources.readers.series_groups` says. In which order, only positions
say: file names and instance numbers are not asked. Checks run on the headers of all files before a pixel of
one is decoded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pydicom.dataset import Dataset, FileDataset

from scanlens.errors import UnreadableScan
from scanlens.sources.readers.axes import ORIENTATION
from scanlens.sources.readers.dicom import Decoded, about, decode, read_dicom
from scanlens.sources.readers.dicom_elements import GREYS, photometric_of
from scanlens.sources.readers.dicom_file import open_header, open_image
from scanlens.sources.readers.dicom_objects import KIND_KEYWORDS, no_scan
from scanlens.sources.readers.dicom_values import modality, text, whole_number
from scanlens.sources.readers.quiet import quiet
from scanlens.sources.readers.reasons import reason_of
from scanlens.sources.readers.series_geometry import Plane, assemble, plane_of, stack
from scanlens.types import Scan

_SHOWN = 5
"""Files and folders that a reason names."""
_KEYWORDS = (
    *KIND_KEYWORDS,
    "ImageType",
    "InstanceNumber",
    "PatientID",
    "SeriesNumber",
    "SOPInstanceUID",
    "StudyInstanceUID",
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


@dataclass(frozen=True, eq=False)
class Slice:
    """What the header of one file says of its place in a series. In memory only: it identifies.

    Attributes:
        path: The file.
        name: What the file is called below the data root or in its archive.
        series: SeriesInstanceUID, empty where there is none, as the following.
        study: StudyInstanceUID.
        instance: SOPInstanceUID.
        patient: PatientID.
        modality: Its code.
        series_number: SeriesNumber.
        number: InstanceNumber, or None.
        photometric: Photometric interpretation.
        frames: How many the file declares.
        shape: Rows and columns.
        plane: Where its first frame lies; None where the header does not say.
        localizer: Whether ImageType calls it one.
    """

    path: Path = field(repr=False)
    name: str = field(repr=False)
    series: str = field(repr=False)
    study: str = field(repr=False)
    instance: str = field(repr=False)
    patient: str = field(repr=False)
    modality: str
    series_number: str
    number: int | None
    photometric: str
    frames: int
    shape: tuple[int, int]
    plane: Plane | None
    localizer: bool

    @property
    def cosines(self) -> tuple[float, ...]:
        """Directions of growing column and row; empty where unknown."""
        return () if self.plane is None else (*self.plane.across.tolist(), *self.plane.down.tolist())


@dataclass(frozen=True)
class Stray:
    """A file that is no slice, and may have been one: empty, damaged, of another kind, or without sizes.

    Attributes:
        name: What the file is called below the data root or in its archive.
        series: SeriesInstanceUID, empty where the file states none.
    """

    name: str = field(repr=False)
    series: str = field(default="", repr=False)


def slice_of(path: Path, name: str = "") -> Slice | Stray | None:
    """Read from a file's header what grouping asks.

    Args:
        path: Any file.
        name: What it is called; the file's own name where empty.

    Returns:
        None where the file is a sound DICOM object of a kind that is no scan.
    """
    name = name or path.name
    with quiet():
        try:
            header = open_header(path, _KEYWORDS)
            if header is None:
                return Stray(name)
            return None if no_scan(header) else _described(path, name, header)
        except MemoryError:
            raise
        # pydicom raises dozens of types on damaged files, and a folder may hold any file: whichever it is,
        # the file is no slice.
        except Exception:
            return Stray(name)


def read_series(
    paths: Sequence[Path],
    reference: str,
    *,
    max_pixels: int,
    called: Sequence[str] | None = None,
    damaged: Sequence[str] = (),
) -> Scan:
    """Read the files of one series as a volume.

    Args:
        paths: The files, in any order.
        reference: The series as its user names it, for the reason.
        max_pixels: The most pixels of the volume, judged before any is decoded.
        called: What reasons call each file; by default its name.
        damaged: What reasons call files that should be slices and are none: with some, there is no volume.

    Returns:
        ``pixels`` (1, depth, height, width) in the axes of :mod:`scanlens.sources.readers.axes`, each slice
        in the units of its own rescale; a tilted gantry's slices put straight. Everything else is said by the
        first slice along the normal.

    Raises:
        UnreadableScan: The files are not one series of one patient, hold colour, have no positions, leave
            gaps, lie unevenly, repeat a position with other pixels, hold more than ``max_pixels``, or some
            are damaged.
    """
    names = dict(zip(paths, called or [path.name for path in paths], strict=True))
    folders = sorted({PurePosixPath(name).parent.as_posix() for name in names.values()})
    try:
        return _volume(names, reference, max_pixels, len(damaged))
    except UnreadableScan as refused:
        said = [refused.reason]
        if damaged:
            said.append(f"damaged beside its slices: {_listed(damaged)}")
        if len(folders) > 1:
            said.append(f"one series in {len(folders)} folders: {_listed(folders)}")
        raise UnreadableScan(reference, "; ".join(said)) from refused


def _volume(names: dict[Path, str], reference: str, max_pixels: int, damaged: int) -> Scan:
    slices = _checked(names, reference)
    if len(slices) == 1:
        return read_dicom(slices[0].path, reference, dims=3, max_pixels=max_pixels)
    planes = [one.plane for one in slices if one.plane is not None]
    if len(planes) < len(slices):
        raise UnreadableScan(reference, "slices without a position or orientation cannot be put in order")
    made = stack(planes, reference)
    if damaged:
        total = len(slices) + damaged
        raise UnreadableScan(
            reference,
            f"{damaged} of its {total} files damaged: restore them, or take them away if they are none",
        )

    def decoded(number: int) -> tuple[FileDataset, Decoded]:
        one = slices[number]
        try:
            dataset, (frames, _, _) = open_image(one.path, reference, max_pixels)
            if frames > 1:
                raise UnreadableScan(reference, f"holds {frames} frames, and its header states no number")
            return dataset, decode(dataset, [0])
        except UnreadableScan as refused:
            raise UnreadableScan(reference, f"{one.name}: {refused.reason}") from refused
        # Whatever pydicom and its decoders raise on a damaged file, the reason names the file.
        except Exception as error:
            raise UnreadableScan(reference, f"{one.name}: {reason_of(error)}") from error

    volume, sides = assemble(made, lambda number: decoded(number)[1].pixels[0, 0], reference, max_pixels)
    first, found = decoded(made.order[0][0])
    return Scan(
        pixels=volume[None],
        spacing=sides,
        orientation=ORIENTATION,
        affine=made.scan_affine,
        window=found.window,
        bits=found.bits,
        wobble=made.wobble,
        **about(first),
    )


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _checked(names: dict[Path, str], reference: str) -> list[Slice]:
    """Return the slices without localizers, once they are known to be of one series and one patient."""
    found = [(names[path], slice_of(path, names[path])) for path in sorted(names)]
    slices = [one for _, one in found if isinstance(one, Slice)]
    if bad := [name for name, one in found if not isinstance(one, Slice)]:
        raise UnreadableScan(reference, f"{len(bad)} of its files hold no readable image: {_listed(bad)}")
    if not slices:
        raise UnreadableScan(reference, "holds no DICOM image")
    uids = {one.series for one in slices} - {""}
    if 1 < len(uids) < len(slices):  # a UID of its own in each names no series
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


def _described(path: Path, name: str, header: Dataset) -> Slice | Stray:
    rows, columns = whole_number(header, "Rows"), whole_number(header, "Columns")
    frames = whole_number(header, "NumberOfFrames", absent=0)
    series = text(header, "SeriesInstanceUID")
    if not rows or not columns or frames is None:
        return Stray(name, series)
    return Slice(
        path=path,
        name=name,
        series=series,
        study=text(header, "StudyInstanceUID"),
        instance=text(header, "SOPInstanceUID"),
        patient=text(header, "PatientID"),
        modality=modality(header),
        series_number=text(header, "SeriesNumber"),
        number=whole_number(header, "InstanceNumber"),
        photometric=photometric_of(header),
        frames=max(frames, 1),
        shape=(rows, columns),
        plane=plane_of(header),
        localizer="LOCALIZER" in text(header, "ImageType").upper(),
    )

"""What a DICOM header says about its pixels: units, window and spacing.

Enhanced multi-frame files keep these in functional groups, per frame or shared (DICOM PS3.3 C.7.6.16);
classic ones at the top. Every function here looks in both places.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut

from scanlens.types import BoolArray, ImageArray, IntArray

_IN_PLANE = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
_AIR = -1000.0  # Hounsfield units
_BETWEEN_SLICES = ("SpacingBetweenSlices", "SliceThickness")


def text(dataset: Dataset, keyword: str) -> str:
    """Return a value as stripped text; empty where it is absent."""
    value = dataset.get(keyword)
    return "" if value is None else str(value).strip()


_MODALITIES = (
    "ANN AR ASMT AU BDUS BI BMD CFM CR CT CTPROTOCOL DG DMS DOC DX ECG EEG EMG EOG EPS ES FID GM HC HD "
    "IO IOL IVOCT IVUS KER KO LEN LS M3D MG MR NM OAM OCT OP OPM OPT OPTBSV OPTENF OPV OSS OT PA PLAN "
    "POS PR PT PX REG RESP RF RG RTDOSE RTIMAGE RTINTENT RTPLAN RTRAD RTRECORD RTSEGANN RTSTRUCT RWV SEG "
    "SM SMR SR SRF STAIN TEXTUREMAP TG US VA XA XAPROTOCOL XC "
    "AS CD CF CP CS DD DF DM DS EC FA FS LP MA MS OPR ST TH VF VB VM"  # retired, still in archives
)
"""Defined terms of Modality (PS3.3 C.7.3.1.1.1)."""


def modality(dataset: Dataset) -> str:
    """Return the modality's code; OT where the file has none of the standard's, whatever it says instead."""
    code = text(dataset, "Modality").upper()
    return code if code in _MODALITIES.split() else "OT"


def numbers(dataset: Dataset, keyword: str) -> list[float]:
    """Return a value's finite numbers; empty where it is absent or not numeric."""
    try:  # pydicom converts on access, so a malformed value raises here
        value = dataset.get(keyword)
        if value is None or value == "":
            return []
        found = [float(one) for one in (value if isinstance(value, Iterable) else [value])]
    except (TypeError, ValueError, OverflowError):
        return []
    return found if all(math.isfinite(one) for one in found) else []


def whole_number(dataset: Dataset, keyword: str, *, absent: int | None = None) -> int | None:
    """Return a value as an int, or ``absent`` where it is not given; text that is no number is None."""
    try:
        value = dataset.get(keyword)
        return absent if value is None or value == "" else int(value)
    except (TypeError, ValueError, OverflowError):
        return None


def modality_units(
    stored: npt.NDArray[np.generic],
    dataset: Dataset,
    frames: list[int],
    padding: BoolArray | None = None,
    *,
    mirrored: bool,
) -> tuple[ImageArray, float]:
    """Apply the modality LUT or rescale of each frame (PS3.3 C.11.1).

    Args:
        stored: ``(frame, row, column)`` as decoded.
        dataset: The header.
        frames: The number, from 0, of each frame in ``stored``.
        padding: What :func:`padded` found; it becomes the darkest value of all other pixels, after mirroring.
            In CT, whose units are absolute, it stays what it is where that is no brighter than air.
        mirrored: Turn larger-is-darker into larger-is-brighter: ``x`` becomes ``low + high - x``, with low
            and high the units of the smallest and largest value that the stored bits can hold (floats:
            that are stored and no padding). So a 12-bit 0 becomes 4095, whatever the scan shows.

    Returns:
        float32 in the modality's units, and the first frame's ``low + high`` (0 where not mirrored).
    """
    values = np.empty(stored.shape, dtype=np.float32)
    sums: list[float] = []
    for position, frame in enumerate(frames):
        source = _units_source(dataset, frame)
        values[position] = _in_units(stored[position], source)
        if mirrored:
            shown = stored[position] if padding is None else stored[position][~padding[position]]
            sums.append(float(_in_units(_stored_range(shown, dataset), source).sum(dtype=np.float64)))
            values[position] = sums[-1] - values[position]
    if padding is not None:
        darkest = values[~padding].min()
        if modality(dataset) == "CT":
            darkest = np.minimum(values[padding], max(darkest, _AIR))
        values[padding] = darkest
    return values, sums[0] if sums else 0.0


_PADDING_VALUES = ("PixelPaddingValue", "FloatPixelPaddingValue", "DoubleFloatPixelPaddingValue")
_PADDING_LIMITS = (
    "PixelPaddingRangeLimit",
    "FloatPixelPaddingRangeLimit",
    "DoubleFloatPixelPaddingRangeLimit",
)


def padded(stored: npt.NDArray[np.generic], dataset: Dataset) -> BoolArray | None:
    """Find the pixels that the header calls padding (PS3.3 C.7.5.1.1.2).

    Args:
        stored: Grey, as decoded.
        dataset: The header.

    Returns:
        Of the same shape; None where no pixel is padding, and where all are.
    """
    value, limit = (
        next((found[0] for keyword in keywords if (found := numbers(dataset, keyword))), None)
        for keywords in (_PADDING_VALUES, _PADDING_LIMITS)
    )
    if value is None:
        return None
    ends = np.array([value, value if limit is None else limit])
    if stored.dtype.kind != "f":
        # Files give it the wrong sign: 63536 for -2000 of 16 bits.
        ends = ends.astype(np.int64).astype(stored.dtype)
    found = (stored >= ends.min()) & (stored <= ends.max())
    return found if found.any() and not found.all() else None


def rescaled(dataset: Dataset, frame: int) -> bool:
    """Whether grey values are others than unsigned bytes: see :attr:`scanlens.types.Scan.rescaled`."""
    source = _units_source(dataset, frame)
    bits = whole_number(dataset, "BitsStored") or 8
    signed = whole_number(dataset, "PixelRepresentation") == 1
    return bool(signed or bits < 8 or source.get("ModalityLUTSequence") or _rescale(source) != (1.0, 0.0))


def voi_window(dataset: Dataset, frame: int) -> tuple[float, float] | None:
    """Return the (lower, upper) that the file suggests showing, in modality units.

    The first WindowCenter and WindowWidth by the formulas of PS3.3 C.11.2.1.2; else the input range over
    which the first VOI LUT still changes.
    """
    source = group_item(dataset, frame, "FrameVOILUTSequence") or dataset
    centers, widths = numbers(source, "WindowCenter"), numbers(source, "WindowWidth")
    if centers and widths:
        exact = text(source, "VOILUTFunction") in ("LINEAR_EXACT", "SIGMOID")
        center, width = (centers[0], widths[0]) if exact else (centers[0] - 0.5, widths[0] - 1.0)
        return (center - width / 2, center + width / 2) if width > 0 else None
    lut = _voi_lut(dataset, source)
    return None if lut is None else _lut_range(*lut)


def voi_inverts(dataset: Dataset, frame: int) -> bool:
    """Tell whether the first VOI LUT falls, so that who applies it shows bright what is stored dark.

    Never of CT, whose units are absolute and shown by the same window in every file.
    """
    if modality(dataset) == "CT":
        return False
    lut = _voi_lut(dataset, group_item(dataset, frame, "FrameVOILUTSequence") or dataset)
    return lut is not None and lut[0].size > 0 and bool(lut[0][0] > lut[0][-1])


def polarity_doubts(dataset: Dataset, frame: int) -> tuple[str, ...]:
    """Say where a grey image's header contradicts itself in what is bright, for ``Scan.doubts``."""
    photometric, shape = (
        text(dataset, keyword) for keyword in ("PhotometricInterpretation", "PresentationLUTShape")
    )
    found = []
    if (photometric, shape) in (("MONOCHROME2", "INVERSE"), ("MONOCHROME1", "IDENTITY")):
        found.append(
            f"{photometric} with PresentationLUTShape {shape}, which viewers show differently: "
            "read as the photometric interpretation says"
        )
    if voi_inverts(dataset, frame) and numbers(dataset, "WindowCenter"):
        found.append("a VOI LUT that inverts beside a window that does not: inverted")
    return tuple(found)


def spacing(dataset: Dataset, frames: list[int]) -> tuple[float, ...] | None:
    """Return mm along ([depth,] height, width), with depth for several frames; None where unknown."""
    source = group_item(dataset, frames[0], "PixelMeasuresSequence") or dataset
    plane = in_plane(source)
    if len(frames) > 1:
        steps = [found[0] for found in (numbers(source, keyword) for keyword in _BETWEEN_SLICES) if found]
        # Of emission tomography its sign says in which direction the slices follow.
        plane = [*map(abs, steps[:1]), *plane]
    return tuple(plane) if len(plane) == (3 if len(frames) > 1 else 2) and min(plane) > 0 else None


def in_plane(source: Dataset) -> list[float]:
    """Return mm from row to row and from column to column; empty where unknown."""
    found = (numbers(source, keyword) for keyword in _IN_PLANE)
    return next((sides for sides in found if len(sides) == 2), [])


def group_item(dataset: Dataset, frame: int, group: str) -> Dataset | None:
    """Return the functional group of one frame: its own, else the shared one, else None."""
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence") or []
    shared = dataset.get("SharedFunctionalGroupsSequence") or []
    for holder in [*per_frame[frame : frame + 1], *shared[:1]]:
        items = holder.get(group)
        if items:
            return items[0]
    return None


def _units_source(dataset: Dataset, frame: int) -> Dataset:
    if dataset.get("ModalityLUTSequence") or any(numbers(dataset, keyword) for keyword in _RESCALE):
        return dataset
    return group_item(dataset, frame, "PixelValueTransformationSequence") or dataset


_RESCALE = {"RescaleSlope": 1.0, "RescaleIntercept": 0.0}
"""What each means where it is missing or empty."""


def _rescale(source: Dataset) -> tuple[float, float]:
    slope, intercept = ((numbers(source, keyword) or [absent])[0] for keyword, absent in _RESCALE.items())
    return slope, intercept


def _in_units(stored: npt.NDArray[np.generic], source: Dataset) -> npt.NDArray[np.generic]:
    if source.get("ModalityLUTSequence"):
        return apply_modality_lut(stored, source)
    slope, intercept = _rescale(source)
    return stored if (slope, intercept) == (1.0, 0.0) else stored.astype(np.float64) * slope + intercept


def _stored_range(stored: npt.NDArray[np.generic], dataset: Dataset) -> npt.NDArray[np.generic]:
    bits = whole_number(dataset, "BitsStored")
    if bits is None or stored.dtype.kind == "f":
        return np.array([stored.min(), stored.max()])
    signed = whole_number(dataset, "PixelRepresentation") == 1
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    return np.array([low, high], dtype=stored.dtype)


def _lut_range(table: IntArray, first: float) -> tuple[float, float] | None:
    changes = np.flatnonzero(np.diff(table))
    return (first + float(changes[0]), first + float(changes[-1]) + 1.0) if changes.size else None


def _voi_lut(dataset: Dataset, source: Dataset) -> tuple[IntArray, float] | None:
    """Return the entries of the first VOI LUT and the input of the first of them; None without one."""
    luts = source.get("VOILUTSequence")
    descriptor = numbers(luts[0], "LUTDescriptor") if luts else []
    if len(descriptor) != 3:
        return None
    entries, first, bits = int(descriptor[0]) or 1 << 16, descriptor[1], int(descriptor[2])
    raw = luts[0].get("LUTData")
    if isinstance(raw, bytes):
        order = "<" if dataset.original_encoding[1] is not False else ">"
        table = np.frombuffer(raw, dtype=np.uint8 if len(raw) == entries and bits <= 8 else f"{order}u2")
    else:
        table = np.asarray(raw)
    return table.astype(np.int64), first

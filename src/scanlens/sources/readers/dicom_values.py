"""What a DICOM header says about its pixels: units, window and spacing.

Enhanced multi-frame files keep these in functional groups, per frame or shared (DICOM PS3.3 C.7.6.16);
classic ones at the top. Every function here looks in both places.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut

from scanlens.types import BoolArray, ImageArray, IntArray

_IN_PLANE = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
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
    stored: npt.NDArray[np.generic], dataset: Dataset, frames: list[int], *, mirrored: bool
) -> tuple[ImageArray, float]:
    """Apply the modality LUT or rescale of each frame (PS3.3 C.11.1).

    Args:
        stored: ``(frame, row, column)`` as decoded.
        dataset: The header.
        frames: The number, from 0, of each frame in ``stored``.
        mirrored: Turn larger-is-darker into larger-is-brighter: ``x`` becomes ``low + high - x``, with low
            and high the units of the smallest and largest value that the stored bits can hold (floats:
            that are stored). So a 12-bit 0 becomes 4095, whatever the scan shows.

    Returns:
        float32 in the modality's units, and the first frame's ``low + high`` (0 where not mirrored).
    """
    values = np.empty(stored.shape, dtype=np.float32)
    sums: list[float] = []
    for position, frame in enumerate(frames):
        source = _units_source(dataset, frame)
        values[position] = _in_units(stored[position], source)
        if mirrored:
            sums.append(
                float(_in_units(_stored_range(stored[position], dataset), source).sum(dtype=np.float64))
            )
            values[position] = sums[-1] - values[position]
    return values, sums[0] if sums else 0.0


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
    luts = source.get("VOILUTSequence")
    return _lut_range(luts[0], _byte_order(dataset)) if luts else None


def spacing(dataset: Dataset, frames: list[int]) -> tuple[float, ...] | None:
    """Return mm along ([depth,] height, width), with depth for several frames; None where unknown."""
    source = group_item(dataset, frames[0], "PixelMeasuresSequence") or dataset
    plane = in_plane(source)
    if len(frames) > 1:
        steps = [found[0] for found in (numbers(source, keyword) for keyword in _BETWEEN_SLICES) if found]
        plane = [*steps[:1], *plane]
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
    if any(keyword in dataset for keyword in ("ModalityLUTSequence", "RescaleSlope", "RescaleIntercept")):
        return dataset
    return group_item(dataset, frame, "PixelValueTransformationSequence") or dataset


def _in_units(stored: npt.NDArray[np.generic], source: Dataset) -> npt.NDArray[np.generic]:
    if "ModalityLUTSequence" in source:
        return apply_modality_lut(stored, source)
    slope, intercept = _rescale(source)
    return stored if (slope, intercept) == (1.0, 0.0) else stored.astype(np.float64) * slope + intercept


def _rescale(source: Dataset) -> tuple[float, float]:
    """Slope and intercept; of a pair of which half is missing or empty the half that changes nothing."""
    return (numbers(source, "RescaleSlope") or [1.0])[0], (numbers(source, "RescaleIntercept") or [0.0])[0]


def is_rescaled(dataset: Dataset, frame: int) -> bool:
    """Whether values are others than the stored ones, or these are signed."""
    source = _units_source(dataset, frame)
    changed = "ModalityLUTSequence" in source or _rescale(source) != (1.0, 0.0)
    return changed or whole_number(dataset, "PixelRepresentation") == 1


def padded(stored: npt.NDArray[Any], dataset: Dataset) -> BoolArray | None:
    """Where stored values are padding (PS3.3 C.7.5.1.1.2); None where nothing or all would be.

    Args:
        stored: ``(frame, row, column)`` as decoded.
        dataset: The header; ``PixelPaddingRangeLimit`` makes a range of the value.
    """
    ends = [
        value[0]
        for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit")
        if (value := numbers(dataset, keyword) or numbers(dataset, f"Float{keyword}"))
    ]
    if not ends or len(stored) == 0:
        return None
    if stored.dtype.kind in "iu":
        # Writers mix up the signs: 63536 is -2000 in 16 bits.
        ends = [int(np.array(int(end)).astype(stored.dtype)) for end in ends]
    found = (stored >= min(ends)) & (stored <= max(ends))
    return found if 0 < np.count_nonzero(found) < found.size else None


def _stored_range(stored: npt.NDArray[np.generic], dataset: Dataset) -> npt.NDArray[np.generic]:
    bits = whole_number(dataset, "BitsStored")
    if bits is None or stored.dtype.kind == "f":
        return np.array([stored.min(), stored.max()])
    signed = whole_number(dataset, "PixelRepresentation") == 1
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    return np.array([low, high], dtype=stored.dtype)


def voi_inverts(dataset: Dataset, frame: int) -> bool:
    """Whether the VOI LUT that a viewer applies, for want of a window, makes bright of dark."""
    source = group_item(dataset, frame, "FrameVOILUTSequence") or dataset
    luts = source.get("VOILUTSequence")
    if not luts or (numbers(source, "WindowCenter") and numbers(source, "WindowWidth")):
        return False
    table = _lut_table(luts[0], _byte_order(dataset))
    return table is not None and bool(table[0] > table[-1])


def _byte_order(dataset: Dataset) -> str:
    return "<" if dataset.original_encoding[1] is not False else ">"


def _lut_range(lut: Dataset, order: str) -> tuple[float, float] | None:
    table = _lut_table(lut, order)
    if table is None or not (changes := np.flatnonzero(np.diff(table))).size:
        return None
    first = numbers(lut, "LUTDescriptor")[1]
    return first + float(changes[0]), first + float(changes[-1]) + 1.0


def _lut_table(lut: Dataset, order: str) -> IntArray | None:
    """The entries of a lookup table; None where its descriptor is damaged or it is empty."""
    descriptor = numbers(lut, "LUTDescriptor")
    if len(descriptor) != 3:
        return None
    entries, bits = int(descriptor[0]) or 1 << 16, int(descriptor[2])
    raw = lut.get("LUTData")
    if isinstance(raw, bytes):
        table = np.frombuffer(raw, dtype=np.uint8 if len(raw) == entries and bits <= 8 else f"{order}u2")
    else:
        table = np.atleast_1d(np.asarray(raw))
    return table.astype(np.int64) if len(table) else None

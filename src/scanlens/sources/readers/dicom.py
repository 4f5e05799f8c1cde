"""DICOM images through pydicom: checks on the header first, then decoding, then the modality LUT.

A file with several frames is a volume where ``dims`` is 3: in the axes of
:mod:`scanlens.sources.readers.axes`, sorted by position, where its grey frames say where they lie (enhanced
CT and MR), and in the order of the frames otherwise. Where ``dims`` is 2 the frame asked for, else the middle
one (of an even number the one after the middle), stands for it.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileDataset
from pydicom.pixels import apply_color_lut, pixel_array

from scanlens.errors import UnreadableScan
from scanlens.sources.readers.axes import ORIENTATION
from scanlens.sources.readers.dicom_elements import GREYS, PALETTE
from scanlens.sources.readers.dicom_file import open_image
from scanlens.sources.readers.dicom_header import HeaderText
from scanlens.sources.readers.dicom_objects import is_tiled
from scanlens.sources.readers.dicom_values import (
    is_rescaled,
    modality,
    modality_units,
    numbers,
    padded,
    spacing,
    text,
    voi_inverts,
    voi_window,
    whole_number,
)
from scanlens.sources.readers.series_geometry import assemble, plane_of, stack
from scanlens.types import BoolArray, FloatArray, ImageArray, Scan

_AIR = -1000.0  # Hounsfield units


def read_dicom(
    path: Path,
    reference: str,
    *,
    dims: int,
    max_pixels: int,
    frame: int | None = None,
    mask: bool = False,
) -> Scan:
    """Read one DICOM file, with or without preamble.

    Args:
        path: The file.
        reference: The scan as its user names it, for the reason.
        dims: 2 for one frame, 3 for all of them as a volume.
        max_pixels: The most pixels of all frames together.
        frame: Which frame, from 0, where ``dims`` is 2.
        mask: Whether a mask is wanted: segmentation objects are welcome.

    Returns:
        Grey scans in the units behind the modality LUT (HU for CT), MONOCHROME1 mirrored within the
        range its bits can hold, so that larger is brighter; palette and YBR colour as RGB. Overlays are
        left out, those in unused bits of the pixels too.

    Raises:
        UnreadableScan: An object that is no scan, tiles of a whole slide, no pixel data, a missing element,
            absurd or zero dimensions, more than ``max_pixels`` in all frames, an unsupported transfer syntax
            or colour model, no such frame, a single image where ``dims`` is 3, or frames that make no volume.
        Exception: Whatever pydicom and its decoders raise; the caller turns it into a reason.
    """
    dataset, (count, _, _) = open_image(path, reference, max_pixels, mask=mask)
    if frame is None and not mask and is_tiled(dataset, count):
        raise UnreadableScan(
            reference,
            f"not a scan: {count} tiles of a whole-slide image: assemble them, or name one as #frame/0",
        )
    if dims == 3 and (count == 1 or frame is not None):
        raise UnreadableScan(reference, f"an image, not a volume{_why_alone(dataset)}: set data.dims=2")
    if frame is not None and not 0 <= frame < count:
        raise UnreadableScan(reference, f"no frame {frame}: it has {count}, counted from 0")
    frames = list(range(count)) if dims == 3 else [count // 2 if frame is None else frame]
    found = decode(dataset, frames)
    pixels, padding = found.pixels, found.padding
    sides, orientation, affine, wobble = spacing(dataset, frames), "", None, 0.0
    if dims == 2:
        pixels, padding = pixels[:, 0], None if padding is None else padding[0]
    elif len(pixels) == 1:
        placed = _placed(dataset, pixels[0], reference, max_pixels)
        if placed is not None:
            volume, sides, affine, wobble = placed
            # Frames are in another order now; what is padding stays the darkest.
            pixels, padding, orientation = volume[None], None, ORIENTATION
    return Scan(
        pixels=np.ascontiguousarray(pixels, dtype=np.float32),
        spacing=sides,
        orientation=orientation,
        affine=affine,
        window=found.window,
        bits=found.bits,
        rescaled=found.rescaled,
        padding=padding,
        wobble=wobble,
        **about(dataset),
    )


def _why_alone(dataset: FileDataset) -> str:
    """Say of a slice why it was joined to no series; nothing of an image that has no place in a volume."""
    if plane_of(dataset) is None:
        return ""
    if not text(dataset, "SeriesInstanceUID"):
        return " (one slice: its SeriesInstanceUID is missing, and its neighbours make no even stack)"
    return " (one slice: no other of its series is parallel to it, and its neighbours make no even stack)"


def about(dataset: FileDataset) -> dict:
    """Return the fields of a :class:`Scan` that say nothing of its pixels' values and geometry.

    The data set is the header's from here on, without its pixels: decode them before.
    """
    return {
        "modality": modality(dataset),
        "photometric": text(dataset, "PhotometricInterpretation"),
        "patient": text(dataset, "PatientID"),
        "doubts": _doubts(dataset),
        "burned_in": {"YES": True, "NO": False}.get(text(dataset, "BurnedInAnnotation")),
        "header": HeaderText(dataset),
    }


def _doubts(dataset: Dataset) -> tuple[str, ...]:
    shape = text(dataset, "PresentationLUTShape").upper()
    if shape == "INVERSE" and text(dataset, "PhotometricInterpretation") == "MONOCHROME2":
        return (
            "MONOCHROME2 with PresentationLUTShape INVERSE, which viewers show differently, read as stored",
        )
    return ()


class Decoded(NamedTuple):
    """Pixels of one file.

    Attributes:
        pixels: float32 ``(channel, frame, height, width)`` in the units that :func:`read_dicom` states.
        window: Of the first frame.
        bits: Of a sample.
        rescaled: See :class:`Scan`.
        padding: ``(frame, height, width)``; see :class:`Scan`.
    """

    pixels: ImageArray
    window: tuple[float, float] | None
    bits: int
    rescaled: bool = False
    padding: BoolArray | None = None


def decode(dataset: FileDataset, frames: list[int]) -> Decoded:
    """Decode one frame, or all of them."""
    stored = _stored(dataset, frames[0] if len(frames) == 1 else None)
    stored = stored[None] if len(frames) == 1 else stored
    photometric = text(dataset, "PhotometricInterpretation")
    bits = whole_number(dataset, "BitsStored") or 32
    if photometric not in GREYS:
        if photometric == PALETTE:
            stored, bits = palette_rgb(stored, dataset)
        return Decoded(np.moveaxis(stored, -1, 0).astype(np.float32), None, bits)
    mirrored = (photometric == "MONOCHROME1") != voi_inverts(dataset, frames[0])
    values, mirror = modality_units(stored, dataset, frames, mirrored=mirrored)
    padding = padded(stored, dataset)
    if padding is not None:
        is_ct = modality(dataset) == "CT"
        values[padding] = np.minimum(values[padding], _AIR) if is_ct else values[~padding].min()
    window = voi_window(dataset, frames[0])
    if window is not None and mirrored:
        window = (mirror - window[1], mirror - window[0])
    return Decoded(values[None], window, bits, is_rescaled(dataset, frames[0]), padding)


def _stored(dataset: FileDataset, frame: int | None) -> npt.NDArray[np.generic]:
    """Return the stored values, colour as RGB, unused bits cleared or filled with the sign.

    pydicom takes the unused bits for the upper ones. Files from before 2014 may have them below: a
    HighBit of 15 with 12 bits stored.
    """
    high, bits, allocated = (
        whole_number(dataset, keyword) for keyword in ("HighBit", "BitsStored", "BitsAllocated")
    )
    if high is None or bits is None or allocated is None or not bits - 1 < high < allocated:
        return pixel_array(dataset, index=frame)
    values = pixel_array(dataset, index=frame, correct_unused_bits=False)
    return (values << (allocated - 1 - high)) >> (allocated - bits)


def _placed(
    dataset: FileDataset, values: ImageArray, reference: str, max_pixels: int
) -> tuple[ImageArray, tuple[float, ...] | None, FloatArray | None, float] | None:
    """Sort a file's grey frames by position: volume, sides, affine and wobble; None without positions."""
    planes = [plane_of(dataset, frame) for frame in range(len(values))]
    known = [plane for plane in planes if plane is not None]
    if not known or "PerFrameFunctionalGroupsSequence" not in dataset:
        return None
    if len(known) < len(planes):
        raise UnreadableScan(reference, "some of its frames have no position")
    made = stack(known, reference)
    volume, sides = assemble(made, values.__getitem__, reference, max_pixels)
    return volume, sides, made.scan_affine, made.wobble


# Palette colour: stored values through the red, green and blue tables (DICOM PS3.3 C.7.6.3.1.5).
_COLOURS = ("Red", "Green", "Blue")


def palette_rgb(stored: npt.NDArray[np.generic], dataset: FileDataset) -> tuple[npt.NDArray[np.generic], int]:
    """Look palette values up.

    pydicom's own function reads 16-bit tables in this machine's byte order, so that those of a big endian
    file come out swapped (1 for 256); it is given such tables turned round.

    Args:
        stored: ``(..., height, width)`` as decoded.
        dataset: The header with the tables, segmented ones too.

    Returns:
        ``(..., height, width, 3)``, and the bits of an entry: 8 also where 8-bit entries stand in 16.
    """
    tables = dataset if dataset.original_encoding[1] in (True, None) else _little_endian(dataset)
    colours = apply_color_lut(stored, tables)[..., :3]
    descriptor = numbers(dataset, "RedPaletteColorLookupTableDescriptor")
    return colours, min(int(descriptor[2]), 8 * colours.dtype.itemsize)


def _little_endian(dataset: FileDataset) -> Dataset:
    """Return a data set of the palette alone, its tables in little endian order.

    Tables are words (OW) whether their entries take 8 bits or 16. Segmented ones pydicom reads in the
    file's order itself.
    """
    if "RedPaletteColorLookupTableData" not in dataset:
        return dataset
    tables = Dataset()
    for colour in _COLOURS:
        descriptor = f"{colour}PaletteColorLookupTableDescriptor"
        data = f"{colour}PaletteColorLookupTableData"
        words = np.frombuffer(dataset[data].value, dtype=">u2")
        tables[descriptor] = dataset[descriptor]
        tables.add_new(dataset[data].tag, "OW", words.astype("<u2").tobytes())
    return tables

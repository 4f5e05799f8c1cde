"""DICOM images through pydicom: checks on the header first, then decoding, then the modality LUT.

A file with several frames is a volume where ``dims`` is 3: in the axes of
:mod:`scanlens.sources.readers.axes`, sorted by position, where its grey frames say where they lie (enhanced
CT and MR), and in the order of the frames otherwise. Where ``dims`` is 2 the frame asked for, else the middle
one (of an even number the one after the middle), stands for it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import cv2
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
    group_item,
    in_plane,
    modality,
    modality_units,
    numbers,
    padded,
    polarity_doubts,
    rescaled,
    spacing,
    text,
    voi_inverts,
    voi_window,
    whole_number,
)
from scanlens.sources.readers.series_geometry import Plane, Stack, assemble, plane_of, stack
from scanlens.types import BoolArray, ImageArray, Scan


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
        Grey scans in the units behind the modality LUT (HU for CT), MONOCHROME1 mirrored within the range
        its bits can hold, so that larger is brighter, and mirrored once more where its VOI LUT inverts, as
        viewers and pydicom show it; palette and YBR colour as RGB. Padding is the darkest there is. Where
        pixels are said to be no squares, and not how large they are, there are more of them along their
        longer side, so that the body keeps its proportions. Overlays are left out, those in unused bits of
        the pixels too.

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
    decoded = decode(dataset, frames)
    pixels, padding = decoded.pixels, decoded.padding
    sides, orientation, affine, wobble = spacing(dataset, frames), "", None, 0.0
    if not in_plane(dataset) and group_item(dataset, frames[0], "PixelMeasuresSequence") is None:
        pixels, padding = _square(pixels, padding, dataset, reference, max_pixels)
    if dims == 2:
        pixels, padding = pixels[:, 0], None if padding is None else padding[0]
    elif len(pixels) == 1:
        made = _stack_of(dataset, len(frames), reference)
        if made is not None:
            volume, sides = assemble(made, pixels[0].__getitem__, reference, max_pixels)
            pixels, orientation = volume[None], ORIENTATION
            affine, wobble = made.scan_affine, made.wobble
            if padding is not None:
                # Half a pixel moved by a tilted gantry is padding where most of it is.
                planes = padding.astype(np.float32)
                padding = assemble(made, planes.__getitem__, reference, max_pixels)[0] > 0.5
    return Scan(
        pixels=np.ascontiguousarray(pixels, dtype=np.float32),
        spacing=sides,
        orientation=orientation,
        affine=affine,
        window=decoded.window,
        bits=decoded.bits,
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
    grey = text(dataset, "PhotometricInterpretation") in GREYS
    return {
        "modality": modality(dataset),
        "photometric": text(dataset, "PhotometricInterpretation"),
        "patient": text(dataset, "PatientID"),
        "rescaled": grey and rescaled(dataset, 0),
        "doubts": polarity_doubts(dataset, 0) if grey else (),
        "burned_in": {"YES": True, "NO": False}.get(text(dataset, "BurnedInAnnotation")),
        "header": HeaderText(dataset),
    }


class Decoded(NamedTuple):
    """Frames of one file.

    Attributes:
        pixels: float32 ``(channel, frame, height, width)`` in the units :func:`read_dicom` states.
        window: Of the first frame.
        bits: Of a sample.
        padding: ``(frame, height, width)``, or None; see :class:`scanlens.types.Scan`.
    """

    pixels: ImageArray
    window: tuple[float, float] | None
    bits: int
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
    padding = padded(stored, dataset)
    values, mirror = modality_units(stored, dataset, frames, padding, mirrored=mirrored)
    window = voi_window(dataset, frames[0])
    if window is not None and mirrored:
        window = (mirror - window[1], mirror - window[0])
    return Decoded(values[None], window, bits, padding)


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


def _square(
    pixels: ImageArray, padding: BoolArray | None, dataset: Dataset, reference: str, max_pixels: int
) -> tuple[ImageArray, BoolArray | None]:
    """Make squares of pixels of another PixelAspectRatio (height to width): more of them along one axis.

    Args:
        pixels: ``(channel, frame, height, width)``.
        padding: ``(frame, height, width)``, or None.
        dataset: The header.
        reference: The scan, for the reason.
        max_pixels: The most pixels there may be.

    Raises:
        UnreadableScan: More than ``max_pixels``.
    """
    ratio = numbers(dataset, "PixelAspectRatio")
    if len(ratio) != 2 or min(ratio) <= 0 or ratio[0] == ratio[1]:
        return pixels, padding
    *leading, height, width = pixels.shape
    rows = max(round(height * ratio[0] / min(ratio)), height)
    columns = max(round(width * ratio[1] / min(ratio)), width)
    if rows * columns * pixels.shape[1] > max_pixels:
        raise UnreadableScan(
            reference,
            f"too large: {rows} x {columns} pixels once they are square, as PixelAspectRatio has it",
        )
    # Whole multiples repeat what is there.
    whole = rows % height == 0 and columns % width == 0
    method = cv2.INTER_NEAREST if whole else cv2.INTER_LINEAR
    planes = [
        cv2.resize(one, (columns, rows), interpolation=method) for one in pixels.reshape(-1, height, width)
    ]
    if padding is not None:
        masks = [
            cv2.resize(one.astype(np.uint8), (columns, rows), interpolation=cv2.INTER_NEAREST)
            for one in padding
        ]
        padding = np.array(masks, dtype=bool)
    return np.array(planes, dtype=np.float32).reshape(*leading, rows, columns), padding


def _stack_of(dataset: FileDataset, frames: int, reference: str) -> Stack | None:
    """Say how a file's grey frames lie; None where they have no positions."""
    if "PerFrameFunctionalGroupsSequence" not in dataset:
        tomogram = _tomogram(dataset, frames)
        return stack(tomogram, reference) if tomogram else None
    planes = [plane_of(dataset, frame) for frame in range(frames)]
    known = [plane for plane in planes if plane is not None]
    if not known:
        return None
    if len(known) < len(planes):
        raise UnreadableScan(reference, "some of its frames have no position")
    return stack(known, reference)


def _tomogram(dataset: FileDataset, frames: int) -> list[Plane]:
    """Say where the slices of reconstructed emission tomography (SPECT) lie; nothing where it is none.

    The first slice has a position, with its detector; the others lie behind it, or with a negative spacing in
    front of it, as the slice vector counts them (PS3.3 C.8.4.9, C.8.4.15). Of several time slots or energy
    windows, whose slice numbers repeat, nothing is said.
    """
    kind = text(dataset, "ImageType").upper()
    steps = [*numbers(dataset, "SpacingBetweenSlices"), *numbers(dataset, "SliceThickness")]
    slices = numbers(dataset, "SliceVector") or list(range(1, frames + 1))
    if "RECON TOMO" not in kind or not steps or steps[0] == 0 or len(set(slices)) != frames:
        return []
    detectors = dataset.get("DetectorInformationSequence")
    first = plane_of(dataset)
    if first is None and detectors:
        place = Dataset()
        for keyword in ("ImagePositionPatient", "ImageOrientationPatient"):
            setattr(place, keyword, detectors[0].get(keyword))
        for keyword in ("Rows", "Columns", "PixelSpacing"):
            setattr(place, keyword, dataset.get(keyword))
        first = plane_of(place)
    if first is None:
        return []
    step = np.cross(first.across, first.down) * steps[0]
    return [replace(first, position=first.position + (number - 1) * step) for number in slices]


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

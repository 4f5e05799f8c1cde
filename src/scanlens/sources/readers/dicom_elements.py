"""What a DICOM file must say of its pixels: filled in where it is certain, else the element is named."""

from __future__ import annotations

import math
from pathlib import Path

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.encaps import generate_fragments, parse_basic_offsets
from pydicom.uid import RLELossless

from scanlens.errors import UnreadableScan
from scanlens.sources.readers.dicom_values import text, whole_number

COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
GREYS = ("MONOCHROME1", "MONOCHROME2")
PALETTE = "PALETTE COLOR"
PIXEL_KEYWORDS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_FRAME_STARTS = (b"\xff\xd8", b"\xff\x4f\xff\x51")  # JPEG and JPEG-LS, JPEG 2000


def photometric_of(dataset: Dataset) -> str:
    """Return the photometric interpretation as the standard writes it: in capitals; empty where missing."""
    return text(dataset, "PhotometricInterpretation").upper()


def complete(dataset: FileDataset, path: Path, reference: str) -> None:
    """Fill in what a file leaves out of its pixels' description, where only one value is possible.

    SamplesPerPixel follows from the photometric interpretation, BitsStored from HighBit (always one more);
    colour is unsigned; where samples are compressed, PlanarConfiguration says nothing. NumberOfFrames that is
    missing or 0 is the number of frames that the pixel data hold.

    Raises:
        UnreadableScan: An element is missing and more than one value is possible.
    """
    photometric = photometric_of(dataset)
    colour = photometric in COLOURS
    for keyword in ("Rows", "Columns", "PhotometricInterpretation", "BitsAllocated"):
        if dataset.get(keyword) in (None, ""):
            raise _missing(reference, keyword)
    dataset.PhotometricInterpretation = photometric
    if _unset(dataset, "SamplesPerPixel"):
        dataset.SamplesPerPixel = 3 if colour else 1
    compressed = dataset.file_meta.TransferSyntaxUID.is_encapsulated
    if "PixelData" in dataset:
        if _unset(dataset, "BitsStored"):
            if _unset(dataset, "HighBit"):
                raise _missing(reference, "BitsStored")
            dataset.BitsStored = int(dataset.HighBit) + 1
        if _unset(dataset, "PixelRepresentation"):
            if not colour and photometric != PALETTE:
                raise _missing(reference, "PixelRepresentation", "whether its values are signed is unknown")
            dataset.PixelRepresentation = 0
        if colour and _unset(dataset, "PlanarConfiguration"):
            if not compressed:
                raise _missing(reference, "PlanarConfiguration", "the order of its colours is unknown")
            dataset.PlanarConfiguration = 0
    if whole_number(dataset, "NumberOfFrames", absent=0) == 0:
        dataset.NumberOfFrames = (
            _compressed_frames(dataset) if compressed else _native_frames(dataset, path, reference)
        )


def _unset(dataset: Dataset, keyword: str) -> bool:
    return dataset.get(keyword) in (None, "")


def _missing(reference: str, keyword: str, why: str = "") -> UnreadableScan:
    return UnreadableScan(reference, f"{keyword} is missing" + (f": {why}" if why else ""))


def refuse_other_length(dataset: FileDataset, path: Path, reference: str) -> None:
    """Compare the length of uncompressed pixel data with the declared size, without reading them.

    Raises:
        UnreadableScan: They end early, or hold more whole frames than are declared.
    """
    size, there = _frame_bytes(dataset), _native_bytes(dataset, path)
    declared = whole_number(dataset, "NumberOfFrames", absent=1)
    if not declared or not size or there is None:
        return
    if there < size * declared:
        raise UnreadableScan(
            reference, f"truncated: {there} of {size * declared} bytes of its pixels are there"
        )
    frames, rest = divmod(there, size)
    if frames > declared and rest <= 1:  # a byte that makes the length even
        reason = f"NumberOfFrames is {declared}, but its pixel data hold {frames} frames"
        raise UnreadableScan(reference, reason)


def _native_frames(dataset: FileDataset, path: Path, reference: str) -> int:
    size, there = _frame_bytes(dataset), _native_bytes(dataset, path)
    if not size or there is None or there < 2 * size:
        return 1
    if there % size > 1:  # more than the byte that makes the length even
        raise UnreadableScan(
            reference, f"NumberOfFrames is missing, and its pixel data hold {there / size:.2f} frames"
        )
    return there // size


def _frame_bytes(dataset: FileDataset) -> int:
    """Return the bytes of an uncompressed frame; 0 where sizes are absurd or frames share bytes."""
    sizes = [
        whole_number(dataset, key) or 0 for key in ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated")
    ]
    if min(sizes) < 1 or sizes[-1] % 8:
        return 0
    size = math.prod(sizes) // 8
    return size // 3 * 2 if photometric_of(dataset) == "YBR_FULL_422" else size


def _native_bytes(dataset: FileDataset, path: Path) -> int | None:
    """Return how many bytes of pixels the file holds, without reading them; None where it does not say."""
    keyword = next(keyword for keyword in PIXEL_KEYWORDS if keyword in dataset)
    element = dataset.get_item(keyword, keep_deferred=True)
    if not isinstance(element, RawDataElement):
        return len(element.value) if element is not None and isinstance(element.value, bytes) else None
    if element.value is not None:
        return len(element.value)
    return max(0, min(element.length, path.stat().st_size - element.value_tell))


def _compressed_frames(dataset: FileDataset) -> int:
    """Count encapsulated frames: by the offset table, else by where images begin."""
    endianness = "<" if dataset.original_encoding[1] is not False else ">"
    if offsets := parse_basic_offsets(dataset.PixelData, endianness=endianness):
        return len(offsets)
    # Some writers put an empty item before the first frame.
    fragments = [one for one in generate_fragments(dataset.PixelData, endianness=endianness) if one]
    if dataset.file_meta.TransferSyntaxUID == RLELossless:  # a fragment is a frame
        return max(1, len(fragments))
    return max(1, sum(fragment.startswith(_FRAME_STARTS) for fragment in fragments))

"""DICOM images through pydicom: checks on the header first, then decoding, then the modality LUT.

A file with several frames is a volume where ``dims`` is 3, with depth in the order of the frames;
where ``dims`` is 2 its middle frame stands for it (of an even number the one after the middle).
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import generate_frames
from pydicom.filereader import read_dataset, read_partial
from pydicom.pixels import apply_color_lut, get_decoder, pixel_array
from pydicom.tag import BaseTag, Tag
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from scanlens.errors import UnreadableScan
from scanlens.sources.codestream import declared_pixels
from scanlens.sources.dicom_values import modality_units, spacing, text, voi_window, whole
from scanlens.types import ImageArray, Scan

_COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
_GREYS = ("MONOCHROME1", "MONOCHROME2")
_PALETTE = "PALETTE COLOR"
_PIXEL_KEYWORDS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_PIXEL_TAGS = tuple(Tag(keyword) for keyword in _PIXEL_KEYWORDS)
_DEFER = 1 << 20  # elements above this stay in the file until they are asked for
_META_AT = 132  # preamble and magic
_META_GROUP = 0x0002
_BYTES_PER_PIXEL = 12  # 3 samples of 32 bits, the most one pixel takes
_BYTES_BESIDE = 1 << 26  # and what a file may hold beside its pixels
_CODESTREAM_HEAD = 1 << 16


def read_dicom(path: Path, reference: str, *, dims: int, max_pixels: int) -> Scan:
    """Read one DICOM file, with or without preamble.

    Returns:
        Grey scans in the units behind the modality LUT (HU for CT), MONOCHROME1 mirrored within the
        range its bits can hold, so that larger is brighter; palette and YBR colour as RGB.

    Raises:
        UnreadableScan: No pixel data, absurd or zero dimensions, more than ``max_pixels`` in all frames,
            an unsupported transfer syntax or colour model, or a single image where ``dims`` is 3.
        Exception: Whatever pydicom and its decoders raise; the caller turns it into a reason.
    """
    dataset = _dataset(path, reference, max_pixels)
    shape = _declared_shape(dataset, reference, max_pixels)
    if dims == 3 and shape[0] == 1:
        raise UnreadableScan(reference, "an image, not a volume: set data.dims=2")
    if path.stat().st_size > math.prod(shape) * _BYTES_PER_PIXEL + _BYTES_BESIDE:
        raise UnreadableScan(reference, "far more data than the image it declares")
    _refuse_codestream(dataset, reference, max_pixels)
    frames = [shape[0] // 2] if dims == 2 else list(range(shape[0]))
    photometric = text(dataset, "PhotometricInterpretation")
    stored = pixel_array(dataset, index=frames[0] if dims == 2 else None)
    if dims == 2:
        stored = stored[None]
    window = None
    bits = whole(dataset, "BitsStored") or 32
    if photometric in _GREYS:
        mirrored = photometric == "MONOCHROME1"
        values, mirror = modality_units(stored, dataset, frames, mirrored=mirrored)
        window = voi_window(dataset, frames[0])
        if window is not None and mirrored:
            window = (mirror - window[1], mirror - window[0])
        pixels = values[None]
    else:
        if photometric == _PALETTE:
            stored = apply_color_lut(stored, dataset)[..., :3]
            bits = 8 * stored.dtype.itemsize
        pixels = _channels_first(stored)
    if dims == 2:
        pixels = pixels[:, 0]
    return Scan(
        pixels=np.ascontiguousarray(pixels, dtype=np.float32),
        spacing=spacing(dataset, frames),
        modality=text(dataset, "Modality") or "OT",
        photometric=photometric,
        window=window,
        bits=bits,
        patient=text(dataset, "PatientID"),
        burned_in={"YES": True, "NO": False}.get(text(dataset, "BurnedInAnnotation")),
    )


def _dataset(path: Path, reference: str, max_pixels: int) -> FileDataset:
    syntax, start = _file_meta(path, reference)
    deflated = syntax == DeflatedExplicitVRLittleEndian
    if deflated:
        _refuse_inflation(path, start, reference, max_pixels)
    # A deferred value is read again from its place in the file, which a deflated file does not have.
    with path.open("rb") as file:
        dataset = read_partial(file, _stop_behind_pixels(), None if deflated else _DEFER, force=True)
    if not any(keyword in dataset for keyword in _PIXEL_KEYWORDS):
        known = "PatientID" in dataset or "SOPClassUID" in dataset or syntax
        raise UnreadableScan(
            reference, "holds no pixel data" if known else "not an image this scanlens reads"
        )
    if not getattr(dataset, "file_meta", None):
        dataset.file_meta = FileMetaDataset()
    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit, little = dataset.original_encoding
        plain = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else plain
    _refuse_syntax(dataset.file_meta.TransferSyntaxUID, reference)
    return dataset


def _stop_behind_pixels() -> Callable[[BaseTag, str | None, int], bool]:
    """Return a test that ends the parsing behind the pixel data, or at a run of zeros.

    pydicom takes every eight zero bytes for an empty element: a file padded with zeros, or allocated and
    never written, would be parsed for hours.
    """
    passed = False

    def stop(tag: BaseTag, _: str | None, __: int) -> bool:
        nonlocal passed
        if passed or tag.group == 0:
            return True
        passed = tag in _PIXEL_TAGS
        return False

    return stop


def _file_meta(path: Path, reference: str) -> tuple[str, int]:
    """Return the transfer syntax (empty where there is no file meta) and where the data set begins."""
    with path.open("rb") as file:
        if file.read(_META_AT)[-4:] != b"DICM":
            file.seek(0)
        meta = read_dataset(file, False, True, stop_when=lambda tag, _, __: tag.group != _META_GROUP)
        start = file.tell()
        if file.read(2) == bytes(2):
            raise UnreadableScan(reference, "zeros where its data set should begin")
    return text(meta, "TransferSyntaxUID"), start


def _refuse_inflation(path: Path, start: int, reference: str, max_pixels: int) -> None:
    """Inflate a deflated data set block by block, keeping nothing, to learn its size."""
    limit = max_pixels * _BYTES_PER_PIXEL + _BYTES_BESIDE
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    size = 0
    with path.open("rb") as file:
        file.seek(start)
        while not inflater.eof and (block := inflater.unconsumed_tail or file.read(1 << 16)):
            size += len(inflater.decompress(block, 1 << 20))
            if size > limit:
                raise UnreadableScan(reference, "inflates to far more than an image")


def _refuse_syntax(syntax: UID, reference: str) -> None:
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as error:
        raise UnreadableScan(reference, f"transfer syntax {syntax.name} is not supported") from error
    if not decoder.is_available:
        raise UnreadableScan(reference, f"no decoder for transfer syntax {syntax.name} is installed")


def _declared_shape(dataset: Dataset, reference: str, max_pixels: int) -> tuple[int, int, int]:
    """Return (frames, rows, columns) as declared, checked against the limit."""
    rows, columns = whole(dataset, "Rows"), whole(dataset, "Columns")
    frames = whole(dataset, "NumberOfFrames", absent=1)
    if not rows or not columns or not frames or min(rows, columns, frames) < 1:
        raise UnreadableScan(reference, f"absurd dimensions: {frames} x {rows} x {columns}")
    if frames * rows * columns > max_pixels:
        reason = f"{frames} x {rows} x {columns} pixels, more than the {max_pixels} allowed"
        raise UnreadableScan(reference, reason)
    photometric = text(dataset, "PhotometricInterpretation")
    if photometric not in (*_GREYS, *_COLOURS, _PALETTE):
        raise UnreadableScan(reference, "its photometric interpretation is missing or not supported")
    if whole(dataset, "SamplesPerPixel", absent=1) != (3 if photometric in _COLOURS else 1):
        raise UnreadableScan(reference, f"its samples per pixel contradict {photometric}")
    return frames, rows, columns


def _refuse_codestream(dataset: FileDataset, reference: str, max_pixels: int) -> None:
    if not dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        return
    for frame in generate_frames(
        dataset.PixelData, number_of_frames=whole(dataset, "NumberOfFrames", absent=1)
    ):
        declared = declared_pixels(frame[:_CODESTREAM_HEAD])
        if declared is not None and declared > max_pixels:
            reason = f"a compressed frame of {declared} pixels, more than the {max_pixels} allowed"
            raise UnreadableScan(reference, reason)


def _channels_first(colour: npt.NDArray[np.generic]) -> ImageArray:
    return np.moveaxis(colour, -1, 0).astype(np.float32)

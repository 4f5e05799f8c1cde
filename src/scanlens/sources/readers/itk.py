"""NRRD (``.nrrd``) and MetaImage (``.mha``) images and volumes through SimpleITK.

The header's text is judged here before ITK sees the file: a header may name other files to take the voxels
from, anywhere on the machine, and ITK would open them. Compressed voxels are inflated here once, keeping
nothing, because ITK reads damaged ones of a MetaImage without a word and returns noise. Volumes are turned
to the axes of :mod:`scanlens.sources.readers.axes` from ITK's LPS.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scanlens.errors import UnreadableScan
from scanlens.sources.readers.axes import LPS_TO_RAS, ORIENTATION, one_slice, to_axes
from scanlens.types import FloatArray, Scan

_NRRD = b"NRRD000"
_META_FIELD = re.compile(r"\s*([^=:]{1,200}?)\s*[=:]\s*(.*)")
_META_DIMENSIONS = re.compile(rb"(?m)^NDims\s*=\s*\d")
_META_TEXT = re.compile(rb"\A(?:[A-Za-z][\w ]*=[^\n\0]*\n)+")
_HEADER_BYTES = 1 << 16
_LINE = 2000  # MetaIO keeps values in arrays of fixed length
_HEADER_FIELDS, _HEADER_CHARACTERS = 256, 256
_DIMENSIONS = (2, 3)
_COLOURS = 3
_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32
_BLOCK = 1 << 20


def is_itk(head: bytes) -> bool:
    """Tell from the first bytes whether this is NRRD or MetaImage."""
    return head.startswith(_NRRD) or _is_meta(head)


def read_itk(path: Path, reference: str, *, dims: int, max_pixels: int) -> Scan:
    """Read a volume, or with ``dims=2`` an image, colour too, or a volume of one slice.

    Returns:
        ``pixels`` (1, depth, height, width), or (1 or 3, height, width) as the file stores it.

    Raises:
        UnreadableScan: Voxels in another file, more than ``max_pixels``, vectors, complex voxels, four or
            more dimensions, no usable axes, or an image where ``dims`` is 3 and a volume where it is 2.
        Exception: Whatever SimpleITK raises on a damaged file; the caller turns it into a reason.
    """
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)  # its warnings name the file
    with path.open("rb") as file:
        head = file.read(_HEADER_BYTES)
    reader = SimpleITK.ImageFileReader()
    if head.startswith(_NRRD):
        voxels = _nrrd_voxels(head, reference)
        reader.SetImageIO("NrrdImageIO")
    else:
        voxels = _meta_voxels(head, path.stat().st_size, reference)
        reader.SetImageIO("MetaImageIO")
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    _refuse_information(reader, reference, dims, max_pixels)
    if voxels.packed:
        _refuse_damaged(path, voxels.start, _voxel_bytes(reader), reference)
    image = reader.Execute()
    stored = SimpleITK.GetArrayViewFromImage(image)
    pixels, spacing, orientation = _arranged(stored, image, reference, dims)
    slope, intercept = _scale(voxels.fields, stored.dtype, reference)
    scaled = (slope, intercept) != (1.0, 0.0)
    if scaled:
        pixels = pixels.astype(np.float64) * slope + intercept
    return Scan(
        # Always a copy: the view's memory is the image's, which goes with it.
        pixels=np.array(pixels, dtype=np.float32, order="C"),
        spacing=spacing if all(math.isfinite(side) and side > 0 for side in spacing) else None,
        photometric=stored.dtype.name,
        orientation=orientation,
        affine=_affine(image) if orientation else None,
        bits=32 if stored.dtype.kind == "f" else 8 * stored.dtype.itemsize,
        rescaled=scaled or stored.dtype.kind == "i",
        header=_header_text(reader),
    )


def _is_meta(head: bytes) -> bool:
    text = _META_TEXT.match(head)
    return text is not None and _META_DIMENSIONS.search(text.group()) is not None


class _Voxels(NamedTuple):
    """What a header says of its voxels.

    Attributes:
        start: Where they begin.
        packed: Whether they are compressed, with gzip or zlib.
        fields: The header's values, by name in lower case (NRRD: without spaces, hyphens and underscores).
    """

    start: int
    packed: bool
    fields: Mapping[str, str]


def _scale(fields: Mapping[str, str], stored: np.dtype, reference: str) -> tuple[float, float]:
    """Return what stored values are multiplied by and what is added to them, which ITK leaves undone.

    MetaImage gives both (ElementToIntensityFunctionSlope and Offset). NRRD gives, for unsigned whole numbers
    that other values were quantised to, the lower edge of the first step and the upper edge of the last ("old
    min", "old max"); a step stands for the value in its middle.
    """
    slope = _number(fields, "elementtointensityfunctionslope", 1.0, reference)
    offset = _number(fields, "elementtointensityfunctionoffset", 0.0, reference)
    low = _number(fields, "oldmin", math.nan, reference)
    high = _number(fields, "oldmax", math.nan, reference)
    if stored.kind == "u" and low < high:
        step = (high - low) / 2 ** (8 * stored.itemsize)
        return step, low + step / 2
    return slope, offset


def _number(fields: Mapping[str, str], name: str, absent: float, reference: str) -> float:
    try:
        return float(fields.get(name) or absent)
    except ValueError as error:
        raise UnreadableScan(reference, f"its header's {name} is no number") from error


def _nrrd_voxels(head: bytes, reference: str) -> _Voxels:
    start, packed = 0, False
    fields: dict[str, str] = {}
    for line in _lines(head, reference):
        start += len(line) + 1
        if not line.strip():
            return _Voxels(start, packed, fields)
        field, separator, value = line.partition(":")
        name = re.sub(r"[\s_-]", "", field).lower()
        if separator and name == "datafile":
            raise UnreadableScan(reference, "a NRRD header without its data: convert it to one .nrrd file")
        if separator and name in ("lineskip", "byteskip"):
            raise UnreadableScan(reference, "its voxels do not begin behind its header")
        # A comment has no name of a field; NRRD's own keys have "=" behind the colon.
        if separator and not value.startswith("="):
            fields[name] = value.strip()
        packed = packed or (name == "encoding" and value.strip().lower() in ("gzip", "gz"))
    raise UnreadableScan(reference, "a NRRD header without an end")


def _meta_voxels(head: bytes, size: int, reference: str) -> _Voxels:
    start, packed = 0, False
    fields: dict[str, str] = {}
    for line in _lines(head, reference):
        start += len(line) + 1
        field = _META_FIELD.fullmatch(line.rstrip("\r"))
        if field is None:
            raise UnreadableScan(reference, "its MetaImage header is damaged")
        name, value = field[1].lower(), field[2].strip()
        fields[name] = value
        if name == "ndims" and value not in map(str, (*_DIMENSIONS, 4)):
            raise UnreadableScan(reference, "its number of dimensions is not 2 or 3")
        if name == "compresseddatasize" and not (value.isascii() and value.isdigit() and int(value) <= size):
            raise UnreadableScan(reference, "its compressed data is said to be larger than the file")
        packed = packed or (name == "compresseddata" and value[:1] in ("T", "t", "1"))
        if name == "elementdatafile":
            if value.upper() != "LOCAL":
                raise UnreadableScan(
                    reference, "a MetaImage header without its data: convert the pair to one .mha file"
                )
            return _Voxels(start, packed, fields)
    raise UnreadableScan(reference, "a MetaImage header without an end")


def _refuse_damaged(path: Path, start: int, expected: int, reference: str) -> None:
    """Inflate block by block: the checksum and the size of what comes out must be right."""
    inflater = zlib.decompressobj(_GZIP_OR_ZLIB)
    size = 0
    with path.open("rb") as file:
        file.seek(start)
        try:
            while not inflater.eof and (block := inflater.unconsumed_tail or file.read(_BLOCK)):
                size += len(inflater.decompress(block, _BLOCK))
                if size > expected:
                    break
        except zlib.error as error:
            raise UnreadableScan(reference, "its compressed voxels are damaged") from error
    if not inflater.eof or size != expected:
        raise UnreadableScan(reference, "its compressed voxels are damaged")


def _voxel_bytes(reader: Any) -> int:
    import SimpleITK

    one = SimpleITK.Image(
        [1] * reader.GetDimension(), reader.GetPixelIDValue(), reader.GetNumberOfComponents()
    )
    return math.prod(reader.GetSize()) * reader.GetNumberOfComponents() * one.GetSizeOfPixelComponent()


def _lines(head: bytes, reference: str) -> Iterator[str]:
    """Yield the header's lines, up to where the caller stops; the carriage return before a line's end stays.

    MetaIO and NrrdIO may take other control characters for the end of a line, and read more lines than this.
    """
    for line in head.split(b"\n")[:-1]:
        text = line.decode("latin-1")
        if len(text) > _LINE or any(ord(one) < 32 and one != "\t" for one in text.removesuffix("\r")):
            raise UnreadableScan(reference, "its header is damaged")
        yield text


def _header_text(reader: Any) -> dict[str, str]:
    """Return what the header says besides; bytes that are not UTF-8 reach Python as lone surrogates."""
    keys = [key for key in reader.GetMetaDataKeys() if key.isascii()][:_HEADER_FIELDS]
    texts = {key: reader.GetMetaData(key)[:_HEADER_CHARACTERS] for key in keys}
    return {key: text.encode("utf-8", "replace").decode("utf-8") for key, text in texts.items()}


def _refuse_information(reader: Any, reference: str, dims: int, max_pixels: int) -> None:
    """Refuse by the header alone, before any voxel takes memory."""
    shape = tuple(int(side) for side in reader.GetSize())
    kind, channels = reader.GetPixelIDValue(), int(reader.GetNumberOfComponents())
    if not shape or min(shape) <= 0:
        raise UnreadableScan(reference, f"a side is zero or negative: {shape}")
    if math.prod(shape) > max_pixels:
        raise UnreadableScan(reference, f"too large: {shape} voxels, more than the {max_pixels} allowed")
    if len(shape) not in _DIMENSIONS:
        raise UnreadableScan(
            reference, f"too many dimensions: {shape}; save each volume as a file of its own"
        )
    if dims == 3 and len(shape) == 2:
        raise UnreadableScan(reference, f"an image, not a volume: {shape}; set data.dims=2")
    if dims == 2 and len(shape) == 3 and 1 not in shape:
        raise UnreadableScan(reference, f"a volume, not an image: {shape}; set data.dims=3")
    if not _is_scalar_or_colour(kind, channels, len(shape)):
        raise UnreadableScan(reference, f"{channels} values a voxel, or complex ones: only grey is read")


def _is_scalar_or_colour(kind: int, channels: int, dimensions: int) -> bool:
    import SimpleITK

    if channels == 1:
        return kind not in (SimpleITK.sitkComplexFloat32, SimpleITK.sitkComplexFloat64, SimpleITK.sitkUnknown)
    bytes_ = (SimpleITK.sitkVectorUInt8, SimpleITK.sitkVectorUInt16)
    return channels == _COLOURS and dimensions == 2 and kind in bytes_


def _arranged(
    stored: np.ndarray, image: Any, reference: str, dims: int
) -> tuple[np.ndarray, tuple[float, ...], str]:
    """Put channels first and, where the image lies in space, its axes in order."""
    sides = tuple(float(side) for side in image.GetSpacing()[::-1])
    if image.GetDimension() == 2:
        return (np.moveaxis(stored, -1, 0) if stored.ndim == 3 else stored[None]), sides, ""
    volume, spacing = to_axes(stored.T, _affine(image), sides[::-1], reference)
    if dims == 3:
        return volume[None], spacing, ORIENTATION
    flat, spacing, axes = one_slice(volume, spacing)
    return flat[None], spacing, axes


def _affine(image: Any) -> FloatArray:
    """Return the RAS+ affine of ITK's indices, which run the other way round than the array's axes."""
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return LPS_TO_RAS @ affine

"""Opening DICOM files: parsing without hanging, and refusing by the header alone.

Nothing here decodes a pixel. A file may lack its preamble; may be padded with zeros, which pydicom would
parse element by element; may inflate to gigabytes; and may declare any size, outside and inside its
compressed frames.
"""

from __future__ import annotations

import io
import itertools
import math
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import generate_frames
from pydicom.filereader import read_dataset, read_partial
from pydicom.pixels import get_decoder
from pydicom.tag import BaseTag, Tag
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from scanlens.errors import UnreadableScan
from scanlens.sources.readers.dicom_elements import (
    COLOURS,
    GREYS,
    PALETTE,
    PIXEL_KEYWORDS,
    complete,
    refuse_other_length,
)
from scanlens.sources.readers.dicom_objects import no_scan
from scanlens.sources.readers.dicom_values import text, whole_number

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_PIXEL_TAGS = tuple(Tag(keyword) for keyword in PIXEL_KEYWORDS)
_DEFER = 1 << 20  # elements above this stay in the file until they are asked for
_STANDARD = "1.2.840.10008.1.2."  # DICOM's own transfer syntaxes
_MAGIC_AT = 128
_META_AT = 132  # preamble and magic
_META_GROUP = 0x0002
_MAGIC = b"DICM"
# The first group of a file without preamble: file meta (0002) or identification (0008), either byte order.
_BARE = (b"\x02\x00", b"\x08\x00", b"\x00\x02", b"\x00\x08")
_BYTES_PER_PIXEL = 12  # 3 samples of 32 bits, the most one pixel takes
_BYTES_BESIDE = 1 << 26  # and what a file may hold beside its pixels
_CODESTREAM_HEAD = 1 << 16
HEADER_BYTES = 1 << 22
"""Bytes of a file, from its beginning, in which the header of a slice is looked for."""
_META_ELEMENTS = 1 << 8  # there are some ten
_HEADER_ELEMENTS = 1 << 14  # top-level ones; real headers hold some hundreds


class _Beginning(io.FileIO):
    """The first :data:`HEADER_BYTES` of a file, as if there were no more."""

    def readinto(self, buffer: WriteableBuffer, /) -> int | None:
        return super().readinto(memoryview(buffer)[: max(0, HEADER_BYTES - self.tell())])

    def readall(self) -> bytes:
        return self.read(max(0, HEADER_BYTES - self.tell()))


def is_dicom(head: bytes) -> bool:
    """Tell from the first 132 bytes whether this may be DICOM, with or without a preamble.

    Without one it only begins like one: ask for every other format first.
    """
    return head[_MAGIC_AT:].startswith(_MAGIC) or head.startswith(_BARE)


def open_image(
    path: Path, reference: str, max_pixels: int, *, mask: bool = False
) -> tuple[FileDataset, tuple[int, int, int]]:
    """Parse a file, its large values left on disk, and refuse what must not be decoded.

    Args:
        path: The file.
        reference: The scan as its user names it, for the reason.
        max_pixels: The most pixels of all frames together.
        mask: Whether a mask is wanted: segmentation objects are welcome.

    Returns:
        The data set, with a transfer syntax in its file meta and what it leaves out of its pixels'
        description filled in, and its (frames, rows, columns).

    Raises:
        UnreadableScan: An object that is no scan, no pixel data, absurd or zero dimensions, more than
            ``max_pixels`` in all frames, an unsupported transfer syntax or colour model, a missing element.
    """
    dataset = _dataset(path, reference, max_pixels)
    if not mask and (kind := no_scan(dataset)):
        raise UnreadableScan(reference, f"not a scan: {kind}")
    if not any(keyword in dataset for keyword in PIXEL_KEYWORDS):
        known = "PatientID" in dataset or "SOPClassUID" in dataset or "TransferSyntaxUID" in dataset.file_meta
        raise UnreadableScan(
            reference, "holds no pixel data" if known else "not an image this scanlens reads"
        )
    _set_syntax(dataset)
    _refuse_syntax(dataset, reference)
    _refuse_other_syntax(dataset, path, reference)
    complete(dataset, path, reference)
    shape = _declared_shape(dataset, reference, max_pixels)
    if path.stat().st_size > math.prod(shape) * _BYTES_PER_PIXEL + _BYTES_BESIDE:
        raise UnreadableScan(reference, "far more data than the image it declares")
    if not dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        refuse_other_length(dataset, path, reference)
    _refuse_codestream(dataset, reference, max_pixels)
    return dataset, shape


def open_header(path: Path, keywords: Iterable[str]) -> Dataset | None:
    """Return the named elements of a DICOM file, read up to its pixels; None where it is no DICOM.

    This runs on every file of a folder, in the process that lists it: no more than :data:`HEADER_BYTES` are
    read, inflated or parsed, whatever lengths the file declares.

    Raises:
        Exception: Whatever pydicom raises on a damaged file.
    """
    with _beginning(path) as file:
        if not is_dicom(file.read(_META_AT)):
            return None
        try:
            syntax, start = _file_meta(file, "")
        except UnreadableScan:
            return None
        tags: list[BaseTag | int] = [Tag(keyword) for keyword in keywords]
        if syntax == DeflatedExplicitVRLittleEndian:
            file.seek(start)
            inflated = io.BytesIO(zlib.decompressobj(-zlib.MAX_WBITS).decompress(file.read(), HEADER_BYTES))
            return read_dataset(inflated, False, True, stop_when=_stop_at_pixels(), specific_tags=tags)
        file.seek(0)
        return read_partial(file, _stop_at_pixels(), force=True, specific_tags=tags)


def _dataset(path: Path, reference: str, max_pixels: int) -> FileDataset:
    with _beginning(path) as file:
        syntax, start = _file_meta(file, reference)
    deflated = syntax == DeflatedExplicitVRLittleEndian
    if deflated:
        _refuse_inflation(path, start, reference, max_pixels * _BYTES_PER_PIXEL + _BYTES_BESIDE)
    # A deferred value is read again from its place in the file, which a deflated file does not have.
    with path.open("rb") as file:
        dataset = read_partial(file, stop_behind_pixels(), None if deflated else _DEFER, force=True)
    if not getattr(dataset, "file_meta", None):
        dataset.file_meta = FileMetaDataset()
    return dataset


def _set_syntax(dataset: FileDataset) -> None:
    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit, little = dataset.original_encoding
        plain = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else plain


def _stop_at_pixels() -> Callable[[BaseTag, str | None, int], bool]:
    """Return a test that ends the parsing at the pixel data, a run of zeros, or absurdly many elements."""
    seen = itertools.count()
    return lambda tag, _, __: tag.group == 0 or tag in _PIXEL_TAGS or next(seen) >= _HEADER_ELEMENTS


def stop_behind_pixels() -> Callable[[BaseTag, str | None, int], bool]:
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


def _beginning(path: Path) -> io.BufferedReader:
    return io.BufferedReader(_Beginning(path))


def _file_meta(file: BinaryIO, reference: str) -> tuple[str, int]:
    """Return the transfer syntax (empty where there is no file meta) and where the data set begins."""
    file.seek(0)
    if file.read(_META_AT)[-4:] != _MAGIC:
        file.seek(0)
    seen = itertools.count()
    meta = read_dataset(
        file,
        False,
        True,
        stop_when=lambda tag, _, __: tag.group != _META_GROUP or next(seen) >= _META_ELEMENTS,
    )
    if next(seen) > _META_ELEMENTS:
        raise UnreadableScan(reference, "its file meta information is damaged")
    start = file.tell()
    if file.read(2) == bytes(2):
        raise UnreadableScan(reference, "zeros where its data set should begin")
    return text(meta, "TransferSyntaxUID"), start


def _refuse_inflation(path: Path, start: int, reference: str, limit: int) -> None:
    """Inflate a deflated data set block by block, keeping nothing, to learn whether it passes the limit."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    size = 0
    with path.open("rb") as file:
        file.seek(start)
        while not inflater.eof and (block := inflater.unconsumed_tail or file.read(1 << 16)):
            size += len(inflater.decompress(block, 1 << 20))
            if size > limit:
                raise UnreadableScan(reference, "inflates to far more than an image")


def _named(syntax: UID) -> str:
    """Return the standard's name of a syntax, or its UID; a UID that somebody made is not quoted."""
    return syntax.name if syntax.name != syntax or syntax.startswith(_STANDARD) else "(unknown)"


def _refuse_syntax(dataset: FileDataset, reference: str) -> None:
    syntax: UID = dataset.file_meta.TransferSyntaxUID
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as error:
        raise UnreadableScan(reference, f"transfer syntax {_named(syntax)} is not supported") from error
    if not decoder.is_available:
        raise UnreadableScan(reference, f"no decoder for transfer syntax {syntax.name} is installed")
    if syntax == RLELossless and whole_number(dataset, "BitsAllocated") == 1:
        raise UnreadableScan(reference, "a bit mask compressed with RLE is not supported")


def _declared_shape(dataset: Dataset, reference: str, max_pixels: int) -> tuple[int, int, int]:
    """Return (frames, rows, columns) as declared, checked against the limit."""
    rows, columns = whole_number(dataset, "Rows"), whole_number(dataset, "Columns")
    frames = whole_number(dataset, "NumberOfFrames", absent=1)
    if not rows or not columns or not frames or min(rows, columns, frames) < 1:
        raise UnreadableScan(reference, f"absurd dimensions: {frames} x {rows} x {columns}")
    if frames * rows * columns > max_pixels:
        reason = f"too large: {frames} x {rows} x {columns} pixels, more than the {max_pixels} allowed"
        raise UnreadableScan(reference, reason)
    photometric = text(dataset, "PhotometricInterpretation")
    if photometric not in (*GREYS, *COLOURS, PALETTE):
        raise UnreadableScan(reference, "its PhotometricInterpretation is not supported")
    if whole_number(dataset, "SamplesPerPixel", absent=1) != (3 if photometric in COLOURS else 1):
        raise UnreadableScan(reference, f"its SamplesPerPixel contradicts {photometric}")
    return frames, rows, columns


def _refuse_other_syntax(dataset: FileDataset, path: Path, reference: str) -> None:
    """Refuse pixels that are compressed where the transfer syntax says that they are not, and the reverse."""
    syntax = dataset.file_meta.TransferSyntaxUID
    element = dataset.get_item("PixelData", keep_deferred=True) if "PixelData" in dataset else None
    if not isinstance(element, RawDataElement):
        return
    first = element.value[: len(_ITEM)] if element.value is not None else _bytes_at(path, element.value_tell)
    sides = ("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "BitsAllocated")
    bits = math.prod(whole_number(dataset, keyword) or 1 for keyword in sides)
    native = element.length in (bits // 8, bits // 8 + 1)
    compressed = element.length == _UNDEFINED or first.startswith((_ITEM, _J2K_START, _JPEG_START))
    if compressed and not native and not syntax.is_encapsulated:
        found, wanted = "compressed", "uncompressed"
    elif native and not compressed and syntax.is_encapsulated:
        found, wanted = "uncompressed", "compressed"
    else:
        return
    name = _named(syntax)
    reason = f"its pixels are {found}, but its transfer syntax, {name}, is for {wanted} ones: correct it"
    raise UnreadableScan(reference, reason)


def _bytes_at(path: Path, place: int) -> bytes:
    with path.open("rb") as file:
        file.seek(place)
        return file.read(len(_ITEM))


def _refuse_codestream(dataset: FileDataset, reference: str, max_pixels: int) -> None:
    if not dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        return
    for frame in generate_frames(
        dataset.PixelData, number_of_frames=whole_number(dataset, "NumberOfFrames", absent=1)
    ):
        declared = declared_pixels(frame[:_CODESTREAM_HEAD])
        if declared is not None and declared > max_pixels:
            reason = f"too large: a compressed frame of {declared} pixels, more than the {max_pixels} allowed"
            raise UnreadableScan(reference, reason)


# The image size a compressed frame declares inside itself.
#
# A JPEG, JPEG-LS or JPEG 2000 codestream carries a size of its own, and decoders allocate by it: a frame of
# a few bytes may ask for gigabytes whatever the header around it says.
_UNDEFINED = 0xFFFFFFFF  # length
_ITEM = b"\xfe\xff\x00\xe0"  # what encapsulated pixels begin with
_J2K_START = b"\xff\x4f\xff\x51"  # SOC, then SIZ, which ISO/IEC 15444-1 A.5.1 wants right behind it
_JPEG_START = b"\xff\xd8"
_NOT_FRAME_HEADERS = {0xC4, 0xC8, 0xCC}  # DHT, JPG, DAC share the SOF markers' range
_JPEG_LS_FRAME = 0xF7
_STANDALONE = {0x01, *range(0xD0, 0xDA)}


def declared_pixels(frame: bytes) -> int | None:
    """Return rows x columns as the codestream declares them, or None where it is none that is known.

    Args:
        frame: The first bytes of one encapsulated frame (JPEG, JPEG-LS, JPEG 2000 or HTJ2K).
    """
    if frame.startswith(_J2K_START):
        right, bottom, left, top = (int.from_bytes(frame[8 + 4 * i : 12 + 4 * i], "big") for i in range(4))
        return max(right - left, 0) * max(bottom - top, 0)
    if frame.startswith(_JPEG_START):
        return _jpeg_pixels(frame)
    return None


def _jpeg_pixels(frame: bytes) -> int | None:
    position = 2
    while position + 9 <= len(frame):
        if frame[position] != 0xFF:
            return None
        marker = frame[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if marker in _STANDALONE:
            position += 2
            continue
        if (0xC0 <= marker <= 0xCF and marker not in _NOT_FRAME_HEADERS) or marker == _JPEG_LS_FRAME:
            rows = int.from_bytes(frame[position + 5 : position + 7], "big")
            columns = int.from_bytes(frame[position + 7 : position + 9], "big")
            return rows * columns
        position += 2 + max(int.from_bytes(frame[position + 2 : position + 4], "big"), 2)
    return None

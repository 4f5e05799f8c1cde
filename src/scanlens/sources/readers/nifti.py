"""NIfTI-1 and NIfTI-2 images and volumes (``.nii``, ``.nii.gz``) through nibabel.

Volumes are turned to the axes of :mod:`scanlens.sources.readers.axes`; ``orientation`` holds the code of each
spatial axis in that order, and ``spacing`` follows it.
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from scanlens.errors import UnreadableScan
from scanlens.sources.readers.axes import ORIENTATION, one_slice, to_axes
from scanlens.types import FloatArray, Scan

_ROUNDING = np.float64(1e-4)
"""So much beyond unit length a quaternion may be: other programs round it to few digits."""


class _Nifti1Header(nib.Nifti1Header):  # type: ignore[misc]
    quaternion_threshold = _ROUNDING


class _Nifti2Header(nib.Nifti2Header):  # type: ignore[misc]
    quaternion_threshold = _ROUNDING


class _Nifti1Image(nib.Nifti1Image):  # type: ignore[misc]
    header_class = _Nifti1Header


class _Nifti2Image(nib.Nifti2Image):  # type: ignore[misc]
    header_class = _Nifti2Header


_SINGLE_FILE = {b"n+1\0": _Nifti1Image, b"n+2\0": _Nifti2Image}
_TWO_FILES = (b"ni1\0", b"ni2\0")
_MAGIC_1 = slice(344, 348)
_MAGIC_2 = slice(4, 8)
_MAX_OFFSET = 1 << 26  # header extensions before the voxels; real ones take kilobytes
_BLOCK = 1 << 20
_MAX_BEHIND = 1 << 26  # unpacked bytes behind the voxels; sound files hold none
_TEXTS = ("descrip", "aux_file", "intent_name", "db_name")  # the last one NIfTI-1 only
_MILLIMETRES = {"meter": 1000.0, "micron": 0.001}


def is_nifti(head: bytes) -> bool:
    """Tell from the first (unzipped) bytes whether this is NIfTI."""
    return _magic(head) in (*_SINGLE_FILE, *_TWO_FILES)


def read_nifti(path: Path, reference: str, *, dims: int, max_pixels: int) -> Scan:
    """Read a volume, or with ``dims=2`` an image with one slice.

    Returns:
        ``pixels`` (1, depth, height, width) or (1, height, width) in the file's scaled units.

    Raises:
        UnreadableScan: More than ``max_pixels``, four or more dimensions, colour or complex voxels, no
            usable axes, damaged compression, or an image where ``dims`` is 3 and a volume where it is 2.
        Exception: Whatever nibabel raises on a damaged file; the caller turns it into a reason.
    """
    with path.open("rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        stream: Any = gzip.GzipFile(fileobj=raw) if zipped else raw
        magic = _magic(stream.read(348))
        if magic not in _SINGLE_FILE:
            raise UnreadableScan(
                reference, "a NIfTI header without its data: convert the pair to one .nii file"
            )
        stream.seek(0)
        _refuse_header(_SINGLE_FILE[magic].header_class.from_fileobj(stream), reference, dims, max_pixels)
        stream.seek(0)
        image = _SINGLE_FILE[magic].from_stream(stream)
        values = np.asarray(image.dataobj, dtype=np.float32)
        scaling = tuple(getattr(image.dataobj, name) for name in ("slope", "inter"))
        if zipped:
            _refuse_damaged(stream, reference)
    header = image.header
    volume = values.reshape(tuple(values.shape[:3]) + (1,) * (3 - values.ndim))
    sides = nib.affines.voxel_sizes(image.affine) * _millimetres(header)
    pixels, spacing = to_axes(volume, image.affine, sides.tolist(), reference)
    axes = ORIENTATION
    if dims == 2:
        pixels, spacing, axes = one_slice(pixels, spacing)
    stored = header.get_data_dtype()
    scale = np.diag([_millimetres(header)] * 3 + [1.0])
    low, high = float(header["cal_min"]), float(header["cal_max"])
    return Scan(
        pixels=np.ascontiguousarray(pixels)[None],
        spacing=spacing if all(math.isfinite(side) and side > 0 for side in spacing) else None,
        photometric=stored.name,
        orientation=axes,
        affine=scale @ image.affine,
        window=(low, high) if math.isfinite(high - low) and high > low else None,
        bits=32 if stored.kind == "f" else 8 * stored.itemsize,
        rescaled=stored.kind == "i" or scaling != (1.0, 0.0),
        doubts=_doubts(header, sides),
        header=_header_text(header),
    )


def _magic(head: bytes) -> bytes:
    first = head[_MAGIC_1]
    return first if first in (b"n+1\0", b"ni1\0") else head[_MAGIC_2]


def _refuse_header(header: Any, reference: str, dims: int, max_pixels: int) -> None:
    """Refuse by the header alone, before any voxel takes memory."""
    shape = tuple(int(side) for side in header.get_data_shape())
    stored = header.get_data_dtype()
    if not shape or min(shape) <= 0:
        raise UnreadableScan(reference, f"a side is zero or negative: {shape}")
    if math.prod(shape) > max_pixels:
        raise UnreadableScan(reference, f"too large: {shape} voxels, more than the {max_pixels} allowed")
    if not 0 <= float(header["vox_offset"]) <= _MAX_OFFSET:
        raise UnreadableScan(reference, "the header puts the voxels at an absurd place")
    if stored.kind not in "iuf":
        raise UnreadableScan(reference, f"voxels of type {stored.name}: only real numbers are read")
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) > 3:
        raise UnreadableScan(
            reference, f"too many dimensions: {shape}; save each volume as a file of its own"
        )
    if dims == 3 and len(shape) < 3:
        raise UnreadableScan(reference, f"an image, not a volume: {shape}; set data.dims=2")
    if dims == 2 and len(shape) == 3 and 1 not in shape:
        raise UnreadableScan(reference, f"a volume, not an image: {shape}; set data.dims=3")


def _refuse_damaged(stream: gzip.GzipFile, reference: str) -> None:
    """Read to the end of the gzip stream: only there is the checksum of all before it compared."""
    behind = 0
    try:
        while block := stream.read(_BLOCK):
            behind += len(block)
            if behind > _MAX_BEHIND:
                raise UnreadableScan(reference, "far more data than the voxels it declares")
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UnreadableScan(reference, "its compressed voxels are damaged") from error


def _header_text(header: Any) -> dict[str, str]:
    """Return the header's fields of free text, at most 80 bytes each."""
    texts = {name: header[name].item().decode("utf-8", "replace") for name in _TEXTS if name in header}
    return {f"nifti.{name}": text for name, text in texts.items() if text}


def _millimetres(header: Any) -> float:
    """Return the millimetres of the header's unit of length."""
    return _MILLIMETRES.get(header.get_xyzt_units()[0], 1.0)


def _doubts(header: Any, sides: FloatArray) -> tuple[str, ...]:
    """What the header leaves open: spacings that contradict the affine in use, or no affine at all."""
    if int(header["qform_code"]) <= 0 and int(header["sform_code"]) <= 0:
        return ("NIfTI without qform and sform code, whose orientation is a guess",)
    zooms = np.abs([float(zoom) for zoom in header.get_zooms()[:3]]) * _millimetres(header)
    if not np.allclose(zooms, sides[: len(zooms)], rtol=0.01):
        return ("NIfTI whose pixdim contradicts its affine, which was used",)
    return ()

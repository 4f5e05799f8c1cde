"""NIfTI-1 and NIfTI-2 images and volumes (``.nii``, ``.nii.gz``) through nibabel.

Volumes are turned to the axes of :mod:`scanlens.sources.readers.axes`; ``orientation`` holds the code of each
spatial axis in that order, and ``spacing`` follows it.
"""

from __future__ import annotations

import contextlib
import gzip
import math
import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError

from scanlens.errors import UnreadableScan
from scanlens.sources.readers.axes import ORIENTATION, one_slice, to_axes
from scanlens.types import FloatArray, Scan

_ROUNDING = 1e-3
"""How far the square of a quaternion's length may exceed 1, and sides differ: writers round."""


class _Completed:
    """A header whose quaternion may be rounded, and whose scale may lack its intercept."""

    def get_qform_quaternion(self) -> FloatArray:
        vector = np.array([float(self[f"quatern_{axis}"]) for axis in "bcd"])  # type: ignore[index]
        if 1 < vector @ vector <= 1 + _ROUNDING:
            return np.array([0.0, *(vector / np.linalg.norm(vector))])
        return super().get_qform_quaternion()  # type: ignore[misc]

    def get_slope_inter(self) -> tuple[float | None, float | None]:
        if not math.isfinite(self["scl_inter"]):  # type: ignore[index]
            self["scl_inter"] = 0  # type: ignore[index]
        return super().get_slope_inter()  # type: ignore[misc]


class _Header1(_Completed, nib.Nifti1Header):
    pass


class _Header2(_Completed, nib.Nifti2Header):
    pass


class _Image1(nib.Nifti1Image):
    header_class = _Header1


class _Image2(nib.Nifti2Image):
    header_class = _Header2


_SINGLE_FILE = {b"n+1\0": _Image1, b"n+2\0": _Image2}
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
        # nibabel mends what it reads checked: what the file itself says is asked of this one.
        as_written = _SINGLE_FILE[magic].header_class.from_fileobj(stream, check=False)
        stream.seek(0)
        image = _SINGLE_FILE[magic].from_stream(stream)
        voxels: Any = image.dataobj
        values, rescale = np.asarray(voxels, dtype=np.float32), (voxels.slope, voxels.inter)
        if zipped:
            _refuse_damaged(stream, reference)
    header = image.header
    volume = values.reshape(tuple(values.shape[:3]) + (1,) * (3 - values.ndim))
    sides, doubts = _sides(as_written, image.affine, values.ndim)
    pixels, spacing = to_axes(volume, image.affine, sides, reference)
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
        rescaled=stored.kind == "i" or rescale != (1.0, 0.0),
        doubts=doubts,
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
    length = math.hypot(*(float(header[f"quatern_{axis}"]) for axis in "bcd"))
    if not header["sform_code"] and header["qform_code"] and length**2 > 1 + _ROUNDING:
        raise UnreadableScan(
            reference, f"its qform is no rotation (a quaternion of length {length:.4g}): save it with a sform"
        )
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


def _sides(header: Any, affine: FloatArray, axes: int) -> tuple[list[float], tuple[str, ...]]:
    """Tell the millimetres along each stored axis, and what the header leaves open or says twice.

    Args:
        header: As the file has it.
        affine: The one in use; its columns are the sides.
        axes: Of the image; those beyond have no side of their own.

    Returns:
        Sides (not finite where the header gives none and nothing else does), and doubts as
        :class:`scanlens.types.Scan` has them.
    """
    doubts = []
    written = np.array([float(step) for step in header["pixdim"][1:4]])
    sides = np.linalg.norm(affine[:3, :3], axis=0)
    agree = np.isclose(written, sides, rtol=_ROUNDING, atol=0)
    sides[agree] = written[agree]  # without what a rotation adds in rounding
    if not header["sform_code"]:
        sides[written == 0] = math.nan
    if not agree[:axes].all():
        doubts.append("NIfTI whose pixdim contradicts its affine: the affine's spacing is used")
    if not header["sform_code"] and not header["qform_code"]:
        doubts.append("NIfTI with neither qform nor sform code: its orientation is a guess")
    if header["sform_code"] and header["qform_code"]:
        # A quaternion that is no rotation says nothing.
        with contextlib.suppress(ValueError, HeaderDataError):
            if nib.aff2axcodes(header.get_qform()) != nib.aff2axcodes(affine):
                doubts.append("NIfTI whose qform and sform name different axes: read by the sform")
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if (slope == 0 or not math.isfinite(slope)) and math.isfinite(intercept) and intercept:
        doubts.append("NIfTI with scl_inter but no scl_slope: not scaled, as the standard says")
    sides[axes:] = 1.0
    return (sides * _millimetres(header)).tolist(), tuple(doubts)

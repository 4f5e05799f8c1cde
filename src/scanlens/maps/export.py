"""Maps as files that others compute on: float32 on the scan's own pixels, in the scan's own place.

A scan whose place or pixel size is known gets a NIfTI file with the scan's affine, voxel for voxel on the
file it came from; any other gets an NPY file. A JSON file beside either says what the numbers are. It is
written last and names what it was made from, so that a run that was broken off goes on where it was.
No file holds anything of the scan's header but its geometry.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, TypeAlias, cast

import nibabel as nib
import numpy as np
from tqdm import tqdm

from scanlens.atomic import replacing, write_json
from scanlens.errors import ScanlensError, SettingsError, UnreadableScan
from scanlens.maps.geometry import ScanGeometry, to_scan
from scanlens.sources.readers.axes import as_stored
from scanlens.types import FloatArray

Format: TypeAlias = Literal["auto", "nifti", "npy"]
UNITS = "probability"
"""What the numbers of a written map are, unless said otherwise."""
_VERSION = 1
"""Of the files; part of what decides whether a file is written again."""
_ENDINGS = {"nifti": ".nii.gz", "npy": ".npy"}
_AXES = {2: ["height", "width"], 3: ["depth", "height", "width"]}
_LEVEL = 1  # of compression: interpolated floats gain little from more
_ALIGNED = 2  # NIfTI's code for "aligned to another file": here the scan


@dataclass(frozen=True)
class Exported:
    """What became of the scans.

    Attributes:
        files: From scan_id to the name of its file of maps.
        kept: How many of these were there before, made from the same maps.
        failed: From scan_id to the reason why it has none.
    """

    files: dict[str, str]
    kept: int
    failed: dict[str, str]


def write_map(
    folder: Path,
    scan_id: str,
    maps: FloatArray,
    labels: Sequence[str],
    geometry: ScanGeometry,
    *,
    kind: Format = "auto",
    units: str = UNITS,
) -> Path:
    """Write one scan's maps; files of the same maps are left as they are.

    NIfTI has the class as its last axis, ``(i, j, k, class)``: of an image without affine ``i`` is the
    column, ``j`` the row and ``k`` one slice. NPY is ``(class, [depth,] height, width)``. Pixels that the
    network did not see are NaN. The maps of one class are in memory at a time.

    Args:
        folder: Receives ``<scan_id>.nii.gz`` or ``<scan_id>.npy``, and ``<scan_id>.json``.
        scan_id: The scan's content hash, which names no patient.
        maps: ``(class, *grid)`` over the network's grid, any finite numbers.
        labels: Names of the classes.
        geometry: The scan's.
        kind: ``auto``: NIfTI where spacing or affine are known. A scan of which neither is known has no
            place to keep; as NIfTI it gets pixels of side 1 in unknown units.
        units: What the numbers are.

    Returns:
        The file of maps.

    Raises:
        SettingsError: Another number of maps than labels, of axes than the grid has, or an unknown kind.
        ScanlensError: A value is not finite.
        OSError: The disk refuses.
    """
    if len(maps) != len(labels):
        raise SettingsError(f"There are {len(maps)} maps for {len(labels)} labels.", "Give one for each.")
    if maps.ndim != 1 + len(geometry.size):
        raise SettingsError(
            f"Maps of shape {maps.shape} do not lie on a grid of {len(geometry.size)} axes.",
            "Give (class, *grid).",
        )
    if not np.isfinite(maps).all():
        raise ScanlensError(
            f"The maps of {scan_id} hold values that are not finite, so they are not written.",
            "A file would show them as cells that the network did not see.",
        )
    kind = _chosen(kind, geometry)
    path = folder / (scan_id + _ENDINGS[kind])
    description = {
        "version": _VERSION,
        "scan_id": scan_id,
        "file": path.name,
        "labels": list(labels),
        "units": units,
        "axes": _axes(kind, geometry),
        "shape": [*geometry.spatial],
        "spacing_mm": None if geometry.spacing is None else list(geometry.spacing),
        "affine_ras": None if geometry.affine is None else geometry.affine.tolist(),
        "grid": list(maps.shape[1:]),
        "unseen": "NaN",
        "made_from": _digest(maps, geometry),
    }
    beside = folder / f"{scan_id}.json"
    if path.is_file() and _read(beside) == description:
        return path
    beside.unlink(missing_ok=True)
    write = _write_nifti if kind == "nifti" else _write_npy
    write(path, maps, geometry)
    for other in _ENDINGS.values():
        if other != _ENDINGS[kind]:
            (folder / (scan_id + other)).unlink(missing_ok=True)
    write_json(beside, description)
    return path


def export_maps(
    folder: Path,
    scan_ids: Sequence[str],
    maps: Sequence[FloatArray] | FloatArray,
    labels: Sequence[str],
    geometry: Callable[[str], ScanGeometry],
    *,
    kind: Format = "auto",
    units: str = UNITS,
) -> Exported:
    """Write the maps of many scans, one at a time; one that cannot be read costs no other.

    Args:
        folder: As for :func:`write_map`; made if missing.
        scan_ids: The scans.
        maps: Theirs, ``(scan, class, *grid)``; may be memory-mapped.
        labels: Names of the classes.
        geometry: From a scan_id to its geometry, as
            :func:`scanlens.maps.geometry.geometry_reader` gives it with ``oriented=True``.
        kind: As for :func:`write_map`.
        units: As for :func:`write_map`.
    """
    if len(scan_ids) != len(maps):
        raise SettingsError(f"There are maps of {len(maps)} scans for {len(scan_ids)} scan_ids.")
    folder.mkdir(parents=True, exist_ok=True)
    files, failed, kept = {}, {}, 0
    for scan_id, own in zip(scan_ids, maps, strict=True):
        try:
            where = geometry(scan_id)
        except UnreadableScan as error:
            tqdm.write(f"warning: its maps are not written out: {error}", file=sys.stderr)
            failed[scan_id] = error.reason
            continue
        before = _state(folder / (scan_id + _ENDINGS[_chosen(kind, where)]))
        path = write_map(folder, scan_id, own, labels, where, kind=kind, units=units)
        kept += before == _state(path)
        files[scan_id] = path.name
    return Exported(files, kept, failed)


def _chosen(kind: Format, geometry: ScanGeometry) -> Literal["nifti", "npy"]:
    if kind not in ("auto", *_ENDINGS):
        raise SettingsError(f"Maps are written as auto, nifti or npy, not as {kind}.")
    if kind != "auto":
        return kind
    return "npy" if geometry.affine is None and geometry.spacing is None else "nifti"


def _axes(kind: str, geometry: ScanGeometry) -> list[str]:
    own = _AXES[len(geometry.spatial)]
    if kind == "npy":
        return ["class", *own]
    if geometry.affine is not None:
        return ["i", "j", "k", "class"]
    return [*own[::-1], *["slice"] * (3 - len(own)), "class"]


def _write_npy(path: Path, maps: FloatArray, geometry: ScanGeometry) -> None:
    with replacing(path) as partial:
        shape = (len(maps), *geometry.spatial)
        file = np.lib.format.open_memmap(partial, mode="w+", dtype=np.float32, shape=shape)
        for number, values in enumerate(maps):
            file[number] = to_scan(values, geometry)
        file.flush()


def _write_nifti(path: Path, maps: FloatArray, geometry: ScanGeometry) -> None:
    with ExitStack() as stack:
        partial = stack.enter_context(replacing(path))
        raw = stack.enter_context(partial.open("wb"))
        # No time and no name in the archive's header: the same maps give the same bytes.
        zipped = gzip.GzipFile(filename="", mode="wb", compresslevel=_LEVEL, fileobj=raw, mtime=0)
        file = cast(BinaryIO, stack.enter_context(zipped))
        for number, values in enumerate(maps):
            voxels = _voxels(to_scan(values, geometry), geometry)
            if number == 0:
                _header((*voxels.shape, len(maps)), geometry).write_to(file)
            # The first axis is the fastest in the file, and the class the slowest: class after class.
            file.write(voxels.astype("<f4", copy=False).tobytes("F"))


def _voxels(values: FloatArray, geometry: ScanGeometry) -> FloatArray:
    """``(i, j, k)`` of one class's map on the scan's pixels."""
    if geometry.affine is not None:
        return cast(FloatArray, as_stored(values, geometry.orientation, geometry.affine))
    return values.T.reshape(*values.shape[::-1], *[1] * (3 - values.ndim))


def _header(shape: tuple[int, ...], geometry: ScanGeometry) -> nib.Nifti1Header | nib.Nifti2Header:
    # Sides above 32,767 don't fit into NIfTI-1.
    kind = nib.Nifti1Header if max(shape) < 1 << 15 else nib.Nifti2Header
    header = kind(endianness="<")
    header.set_data_dtype(np.float32)
    header.set_data_shape(shape)
    header["cal_min"], header["cal_max"] = 0, 1
    if geometry.affine is not None:
        header.set_sform(geometry.affine, code=_ALIGNED)
        header.set_qform(geometry.affine, code=_ALIGNED, strip_shears=True)
    else:
        # Both codes stay 0: there is a pixel size, and no place.
        sides = geometry.spacing[::-1] if geometry.spacing is not None else (1.0,) * len(geometry.spatial)
        header.set_zooms((*sides, *[1.0] * (4 - len(sides))))
    placed = geometry.affine is not None or geometry.spacing is not None
    header.set_xyzt_units("mm" if placed else "unknown")
    header.set_slope_inter(1, 0)
    return header


def _digest(maps: FloatArray, geometry: ScanGeometry) -> str:
    """Hash of what the file's numbers are made of; the geometry's known numbers stand beside it."""
    digest = hashlib.sha256(np.ascontiguousarray(maps, dtype="<f4").tobytes())
    digest.update(repr((geometry.placement, geometry.size, geometry.slices)).encode())
    return digest.hexdigest()


def _read(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _state(path: Path) -> tuple[int, int] | None:
    """Number of the file and when it was written; None where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns

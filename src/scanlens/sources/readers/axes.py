"""The axis convention of volumes, and the turning of every stored order into it.

Stated here once: volumes arrive as ``(1, depth, height, width)`` with depth going to the patient's
superior, height to the posterior and width to the left ("SPL"), so that every ``pixels[0, k]`` is an axial
slice drawn as DICOM viewers draw it: nose up, the patient's right hand on the left. Volumes stored along
other axes are flipped and transposed to the closest such order, never resampled.

Affines are nibabel's: 4 x 4, from the array's indices to millimetres of RAS+.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from nibabel import orientations

from scanlens.errors import UnreadableScan
from scanlens.types import FloatArray, ImageArray

AXES = ("S", "P", "L")
"""The direction in which each spatial axis of ``pixels`` grows."""
ORIENTATION = "".join(AXES)
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""DICOM and ITK count to the left and the posterior, nibabel to the right and the anterior."""


def to_axes(
    values: npt.NDArray[np.generic], affine: FloatArray, sides: Sequence[float], reference: str
) -> tuple[npt.NDArray[np.generic], tuple[float, ...]]:
    """Turn a stored volume into :data:`AXES`.

    Args:
        values: Three spatial axes in any order.
        affine: RAS+ affine of ``values``.
        sides: Millimetres along each axis of ``values``.
        reference: The scan, for the reason.

    Returns:
        A view of ``values`` as (depth, height, width), and its sides.

    Raises:
        UnreadableScan: The affine is singular or not finite.
    """
    change = _change(affine, reference)
    return orientations.apply_orientation(values, change), _along(sides, change)


def empty_volume(
    shape: Sequence[int], affine: FloatArray, sides: Sequence[float], reference: str
) -> tuple[ImageArray, ImageArray, tuple[float, ...]]:
    """Return an empty (depth, height, width) volume, its view in stored order, and its sides.

    What is written to the view, of ``shape``, lands turned in the volume: no second copy is needed.
    """
    change = _change(affine, reference)
    volume = np.empty(_along(shape, change), dtype=np.float32)
    back = orientations.ornt_transform(orientations.axcodes2ornt(AXES), orientations.io_orientation(affine))
    return volume, orientations.apply_orientation(volume, back), _along(sides, change)


def one_slice(
    volume: npt.NDArray[np.generic], spacing: tuple[float, ...]
) -> tuple[npt.NDArray[np.generic], tuple[float, ...], str]:
    """Drop the axis of length one: the image, its sides and the codes of the two axes left."""
    dropped = volume.shape.index(1)
    kept = [axis for axis in range(3) if axis != dropped]
    return volume.squeeze(dropped), tuple(spacing[axis] for axis in kept), "".join(AXES[a] for a in kept)


def as_stored(
    values: npt.NDArray[np.generic], orientation: str, affine: FloatArray
) -> npt.NDArray[np.generic]:
    """Turn what lies on a scan's ``pixels`` back to the order of the file's own voxels.

    Args:
        values: ``([depth,] height, width)``, along the axes of the scan.
        orientation: The scan's: an image made of a volume's one slice gets that axis back.
        affine: The scan's.

    Returns:
        A view ``(i, j, k)`` of ``values``, to be written with ``affine``.
    """
    for axis, code in enumerate(AXES):
        if code not in orientation:
            values = np.expand_dims(values, axis)
    back = orientations.ornt_transform(orientations.axcodes2ornt(AXES), orientations.io_orientation(affine))
    return orientations.apply_orientation(values, back)


def _change(affine: FloatArray, reference: str) -> npt.NDArray[np.floating]:
    if np.isfinite(affine).all():
        found = orientations.io_orientation(affine)
        if np.isfinite(found).all():
            return orientations.ornt_transform(found, orientations.axcodes2ornt(AXES))
    raise UnreadableScan(reference, "the axes cannot be told: its affine is singular or not finite")


def _along(of_stored: Sequence[float], change: npt.NDArray[np.floating]) -> tuple:
    """Put one value an axis into the new order of axes."""
    turned = list(of_stored)
    for axis, target in enumerate(change[:, 0].astype(int)):
        turned[target] = of_stored[axis]
    return tuple(turned)

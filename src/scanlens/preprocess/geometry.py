"""Bring a scan onto the network's grid: anti-aliased resizing, and padding that keeps the proportions.

Pixels are areas: the edges, not the centres, of the outermost pixels coincide before and after.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from scipy import ndimage

from scanlens.manifest.checks import physical_extent
from scanlens.types import FloatArray, ImageArray


def placement(
    spatial: Sequence[int], size: Sequence[int], aspect: str, spacing: Sequence[float] | None = None
) -> tuple[slice, ...]:
    """Say where a scan lies within the network's grid.

    Args:
        spatial: The scan's pixels along each spatial axis.
        size: The grid's.
        aspect: ``stretch`` fills the grid. ``pad`` keeps the proportions (physical ones where the spacing
            is known) and centres the scan.
        spacing: Millimetres a pixel along each axis, or None.

    Returns:
        One slice an axis; outside of them is padding.
    """
    if aspect == "stretch":
        return tuple(slice(0, side) for side in size)
    extent = physical_extent(spatial, spacing)
    scale = min(side / length for side, length in zip(size, extent, strict=True))
    slices = []
    for side, length in zip(size, extent, strict=True):
        inner = min(max(round(length * scale), 1), side)
        start = (side - inner) // 2
        slices.append(slice(start, start + inner))
    return tuple(slices)


def fit(
    image: ImageArray, size: Sequence[int], aspect: str, spacing: Sequence[float] | None = None
) -> ImageArray:
    """Resize an image onto the grid; padding is 0.

    Args:
        image: float32, ``(channel, [depth,] height, width)``.
        size: The grid's pixels along each spatial axis.
        aspect: ``pad`` or ``stretch``: see :func:`placement`.
        spacing: Millimetres a pixel along each axis, or None.

    Returns:
        float32, ``(channel, *size)``, contiguous.
    """
    place = placement(image.shape[1:], size, aspect, spacing)
    inner = resize(image, [side.stop - side.start for side in place])
    fitted = np.zeros((len(image), *size), dtype=np.float32)
    fitted[(slice(None), *place)] = inner
    return fitted


def resize(image: ImageArray, shape: Sequence[int]) -> ImageArray:
    """Resize without aliasing.

    2-D: area averaging where an axis shrinks, linear interpolation where it grows (OpenCV). 3-D: a
    Gaussian of sigma (factor - 1) / 2 along each shrinking axis, then linear interpolation (as
    scikit-image does it).

    Args:
        image: float32, ``(channel, [depth,] height, width)``.
        shape: Wanted pixels along each spatial axis.

    Returns:
        float32, ``(channel, *shape)``.
    """
    shape = tuple(shape)
    if image.shape[1:] == shape:
        return image
    one = _resize_plane if len(shape) == 2 else _resize_volume
    return np.stack([one(np.ascontiguousarray(channel), shape) for channel in image])


def _resize_plane(plane: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    # OpenCV averages areas only if both axes shrink: shrink first, then grow.
    for target, method in (
        ([min(old, new) for old, new in zip(plane.shape, shape, strict=True)], cv2.INTER_AREA),
        (list(shape), cv2.INTER_LINEAR),
    ):
        if list(plane.shape) != target:
            plane = np.asarray(cv2.resize(plane, (target[1], target[0]), interpolation=method))
    return plane


def _resize_volume(volume: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    factors = np.array(volume.shape) / np.array(shape)
    sigma = np.maximum((factors - 1) / 2, 0)
    smooth = ndimage.gaussian_filter(volume, sigma, mode="nearest")
    resized: FloatArray = ndimage.zoom(
        smooth, 1 / factors, order=1, mode="nearest", prefilter=False, grid_mode=True
    )
    return resized

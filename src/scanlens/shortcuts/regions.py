"""Parts of a scan that a shortcut may lie in: the border, the corners, what is outside of the body."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from scanlens.preprocess.crop import SHARE
from scanlens.preprocess.histogram import LEAST_SPAN, count_values
from scanlens.types import BoolArray, FloatArray, ImageArray

ROUNDING = 2.5
"""Exponent of the border's inner edge: 2 is an ellipse, infinity a rectangle. Anatomy is round and marks
lie in corners, so the border is wider there."""


def border(spatial: Sequence[int], width: float) -> BoolArray:
    """The rim of a scan, the corners with it; of a volume the outermost slices too.

    Args:
        spatial: ``([depth,] height, width)``.
        width: Of the rim where it is thinnest, as a share of the side; in (0, 0.5).

    Returns:
        True on the rim, ``spatial``.
    """
    *depth, down, across = _coordinates(spatial)
    inner = 1 - 2 * width
    rim = (np.abs(down) / inner) ** ROUNDING + (np.abs(across) / inner) ** ROUNDING > 1
    for along in depth:
        rim = rim | (np.abs(along) > inner)
    return np.broadcast_to(rim, tuple(spatial)).copy()


def corners(spatial: Sequence[int]) -> BoolArray:
    """What is outside of the largest ellipse in a scan; of a volume in each of its slices."""
    *_, down, across = _coordinates(spatial)
    return np.broadcast_to(down**2 + across**2 > 1, tuple(spatial)).copy()


def body(image: ImageArray) -> BoolArray | None:
    """The body, as cropping to the foreground finds it: above the background, filled, large parts only.

    Args:
        image: In [0, 1], ``(channel, *spatial)``.

    Returns:
        ``spatial``; None where nothing stands out.
    """
    grey = image.mean(axis=0, dtype=np.float32)
    lowest, highest = float(grey.min()), float(grey.max())
    if highest - lowest <= LEAST_SPAN:
        return None
    found = ndimage.binary_fill_holes(grey > count_values(grey, lowest, highest).background)
    # Thin lines, letters and rulers are cut off and left out, as in scanlens.preprocess.crop.
    opened = ndimage.binary_opening(found, np.ones((3,) * found.ndim, bool))
    parts, number = ndimage.label(opened)
    if not number:
        return None
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return np.asarray(sizes >= SHARE * sizes.max())[parts] & (parts > 0)


def coverage(mask: BoolArray, grid: Sequence[int]) -> FloatArray:
    """Share of every cell of a coarser grid that a mask covers.

    Args:
        mask: ``(*leading, *spatial)``.
        grid: Cells along each spatial axis.

    Returns:
        float64 ``(*leading, *grid)`` in [0, 1].
    """
    shares = mask.astype(np.float64)
    first = shares.ndim - len(grid)
    for axis, cells in enumerate(grid, start=first):
        side = shares.shape[axis]
        edges = np.linspace(0, side, cells + 1)
        # A pixel on the line between two cells belongs to both in the shares that they hold of it.
        overlap = np.minimum(edges[1:, None], np.arange(1, side + 1)) - np.maximum(
            edges[:-1, None], np.arange(side)
        )
        weights = np.clip(overlap, 0, None) / (edges[1:] - edges[:-1])[:, None]
        shares = np.moveaxis(np.tensordot(shares, weights, axes=(axis, 1)), -1, axis)
    return shares


def _coordinates(spatial: Sequence[int]) -> list[FloatArray]:
    """Pixel centres from -1 to 1 along each axis, to be broadcast together."""
    axes = [(np.arange(side) + 0.5) / side * 2 - 1 for side in spatial]
    return [np.asarray(axis) for axis in np.meshgrid(*axes, indexing="ij", sparse=True)]

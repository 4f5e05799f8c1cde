"""Physical size: from a scan's millimetres a pixel to the grid's."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

MOST_SIDE = {2: 512, 3: 128}
"""Largest automatic side of images and of volumes, pixels: what networks train on in reasonable memory."""
COVERED = 95.0
"""Per cent of the training scans that the automatic size holds whole, along each axis."""
MOST_SIDE_RESAMPLED = 1 << 14
"""Most pixels along an axis of a scan resampled to the grid's spacing, before the grid's size cuts it."""
MOST_PIXELS_RESAMPLED = 1 << 28
"""Most pixels of such a scan: 1 GiB, more than a body in millimetres; beyond, the spacing is wrong."""
MULTIPLE = 8
"""Automatic sides are multiples of this."""


def known(spacing: Sequence[float] | None, axes: int) -> tuple[float, ...] | None:
    """The spacing as a tuple where it says something: one positive, finite number an axis."""
    if spacing is None or len(spacing) != axes or not all(0 < step < np.inf for step in spacing):
        return None
    return tuple(float(step) for step in spacing)


def resampled(spatial: Sequence[int], spacing: Sequence[float], wanted: Sequence[float]) -> tuple[int, ...]:
    """Pixels along each axis after resampling.

    Args:
        spatial: Pixels along each axis.
        spacing: Their millimetres.
        wanted: Millimetres a pixel wanted.

    Raises:
        ValueError: An axis would have more than :data:`MOST_SIDE_RESAMPLED` pixels, or all together more
            than :data:`MOST_PIXELS_RESAMPLED`: the spacing cannot be right.
    """
    shape = []
    for side, step, target in zip(spatial, spacing, wanted, strict=True):
        pixels = side * step / target
        if pixels > MOST_SIDE_RESAMPLED:
            raise ValueError(
                f"spacing: {side * step:.4g} mm are more than {MOST_SIDE_RESAMPLED} pixels of {target:g} mm"
            )
        shape.append(max(round(pixels), 1))
    if math.prod(shape) > MOST_PIXELS_RESAMPLED:
        sides = " x ".join(map(str, shape))
        raise ValueError(
            f"spacing: {sides} pixels of the wanted spacing are more than {MOST_PIXELS_RESAMPLED}"
        )
    return tuple(shape)


def size_of_extents(extents: Iterable[Sequence[float]], wanted: Sequence[float]) -> tuple[int, ...]:
    """A grid of the wanted spacing that holds nearly all of the scans.

    Args:
        extents: Millimetres along each axis, of each scan; at least one scan.
        wanted: Millimetres a pixel.

    Returns:
        Pixels along each axis: the :data:`COVERED`-th percentile of the extents, rounded up to a multiple
        of :data:`MULTIPLE`, at most :data:`MOST_SIDE`.
    """
    pixels = np.percentile(np.array([tuple(extent) for extent in extents]) / wanted, COVERED, axis=0)
    # 1e-6: what a sum of rounding errors adds to a whole number must not cost another multiple.
    sides = np.ceil(pixels / MULTIPLE - 1e-6).astype(int) * MULTIPLE
    most = MOST_SIDE[len(wanted)] // MULTIPLE * MULTIPLE
    return tuple(int(side) for side in np.clip(sides, MULTIPLE, most))

"""Which part of a scan to keep: the box around the body, or around the fan of an ultrasound scan.

Both look at a small copy of the scan, so that thin lines and letters fade, and take the box a little
larger than what they found.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from scanlens.preprocess.geometry import Box
from scanlens.preprocess.histogram import count_values
from scanlens.types import ImageArray

Crop: TypeAlias = Literal["none", "foreground", "fan"]

_MARGIN = 0.02
"""Of the box's side, added at either end."""
SHARE = 0.2
"""Parts smaller than this share of the largest are markers, letters or rulers and are left out. Two legs
or two ultrasound images side by side are both kept."""
NOT_BLACK = 0.04
"""From 0 to 1: the fan is what is above. Compression leaves less than this in a black border."""
_SMALL_SIDE = {2: 256, 3: 64}
"""Longest side of the small copy, pixels, of images and of volumes."""


def crop_box(small: ImageArray, spatial: Sequence[int], crop: Crop) -> Box:
    """Find the part of a scan to keep.

    Args:
        small: The scan resized to :func:`small_shape`, in [0, 1] as the network would see it, one channel.
        spatial: The scan's own pixels along each spatial axis.
        crop: ``foreground``: what is above the background
            (:attr:`scanlens.preprocess.histogram.Histogram.background`). ``fan``: what is not black.

    Returns:
        One slice a spatial axis, never empty; all of the scan where nothing stands out.
    """
    lowest, highest = float(small.min()), float(small.max())
    if not lowest < highest:
        return whole_frame(spatial)
    if crop == "fan":
        found = small[0] > NOT_BLACK
    else:
        # A thin skin or skull around dark fat or air is body all through.
        found = ndimage.binary_fill_holes(small[0] > count_values(small, lowest, highest).background)
    return _largest_parts(found, spatial) or whole_frame(spatial)


def whole_frame(spatial: Sequence[int]) -> Box:
    """The box that leaves nothing out."""
    return tuple(slice(0, side) for side in spatial)


def small_shape(spatial: Sequence[int]) -> tuple[int, ...]:
    """Pixels of the small copy along each axis."""
    limit = _SMALL_SIDE[len(spatial)]
    return tuple(max(round(side * min(1, limit / max(spatial))), min(side, 16)) for side in spatial)


def _largest_parts(found: npt.NDArray[np.bool_], spatial: Sequence[int]) -> Box | None:
    """Box in pixels of the scan around the large connected parts of a mask of its small copy."""
    # Opening cuts lines thinner than three pixels; what is as thin as that altogether stays.
    opened = ndimage.binary_opening(found, np.ones((3,) * found.ndim, bool))
    parts, number = ndimage.label(opened if opened.any() else found)
    if not number:
        return None
    sizes = np.bincount(parts.ravel(), minlength=number + 1)[1:]
    boxes = [
        box
        for box, size in zip(ndimage.find_objects(parts), sizes, strict=True)
        if size >= SHARE * sizes.max()
    ]
    return tuple(
        _enlarged(min(box[axis].start for box in boxes), max(box[axis].stop for box in boxes), small, side)
        for axis, (small, side) in enumerate(zip(found.shape, spatial, strict=True))
    )


def _enlarged(start: int, stop: int, small: int, side: int) -> slice:
    """From the small copy's pixels to the scan's, rounded outwards, with a margin."""
    first, last = start * side / small, stop * side / small
    margin = _MARGIN * (last - first)
    return slice(max(int(np.floor(first - margin)), 0), min(int(np.ceil(last + margin)), side))

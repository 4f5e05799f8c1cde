"""Bring a scan onto the network's grid: anti-aliased resampling, padding and centring.

Pixels are areas: the edges, not the centres, of the outermost pixels coincide before and after.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np

from scanlens.manifest.checks import physical_extent
from scanlens.types import FloatArray, ImageArray

Box: TypeAlias = tuple[slice, ...]
"""A part of a scan or grid: one slice an axis, in pixels, with start and stop."""


@dataclass(frozen=True)
class Placement:
    """Where the used part of a scan comes to lie in the network's grid; outside of it is padding.

    Attributes:
        box: The part, in pixels of the scan.
        shape: Its pixels along each axis after resampling.
        kept: Which of those fit into the grid.
        place: Where in the grid they lie.
    """

    box: Box
    shape: tuple[int, ...]
    kept: Box
    place: Box

    def to_scan(self, position: Sequence[float]) -> tuple[float, ...]:
        """A position in the grid as one in the scan; both in pixels, whole numbers at the pixels' centres."""
        found = []
        for value, box, side, kept, place in zip(
            position, self.box, self.shape, self.kept, self.place, strict=True
        ):
            inner = (value + 0.5 - place.start + kept.start) / side
            found.append(box.start + inner * (box.stop - box.start) - 0.5)
        return tuple(found)

    def pad(self, part: FloatArray, size: Sequence[int]) -> ImageArray:
        """Lay the resampled part into an empty grid.

        Args:
            part: ``(channel, *shape)``.
            size: The grid's pixels along each axis.

        Returns:
            float32, ``(channel, *size)``, contiguous; padding is 0.
        """
        if part.shape[1:] == tuple(size):
            return np.ascontiguousarray(part, dtype=np.float32)
        grid = np.zeros((len(part), *size), dtype=np.float32)
        grid[(slice(None), *self.place)] = part[(slice(None), *self.kept)]
        return grid


def centre(box: Box, shape: Sequence[int], size: Sequence[int]) -> Placement:
    """Centre a resampled part in the grid; what is larger than the grid loses its rim."""
    kept, place = [], []
    for side, wanted in zip(shape, size, strict=True):
        inner = min(side, wanted)
        cut, start = (side - inner) // 2, (wanted - inner) // 2
        kept.append(slice(cut, cut + inner))
        place.append(slice(start, start + inner))
    return Placement(tuple(box), tuple(shape), tuple(kept), tuple(place))


def fitting(
    spatial: Sequence[int], size: Sequence[int], aspect: str, spacing: Sequence[float] | None = None
) -> tuple[int, ...]:
    """Pixels of a scan resized into the grid.

    Args:
        spatial: The scan's pixels along each spatial axis.
        size: The grid's.
        aspect: ``stretch`` fills the grid. ``pad`` keeps the proportions (physical ones where the spacing
            is known).
        spacing: Millimetres a pixel along each axis, or None.
    """
    if aspect == "stretch":
        return tuple(size)
    extent = physical_extent(spatial, spacing)
    scale = min(side / length for side, length in zip(size, extent, strict=True))
    return tuple(min(max(round(length * scale), 1), side) for side, length in zip(size, extent, strict=True))


def resize(image: ImageArray, shape: Sequence[int]) -> ImageArray:
    """Resize without aliasing: area averaging where an axis shrinks, linear interpolation where it grows.

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
    if len(image) == 1:
        return one(np.ascontiguousarray(image[0]), shape)[np.newaxis]
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
    """Slice by slice, then along the depth. Shrinking comes first: it makes the rest less work."""
    if shape[0] < len(volume):
        volume = _resize_depth(volume, shape[0])
    if volume.shape[1:] != shape[1:]:
        volume = np.stack([_resize_plane(plane, shape[1:]) for plane in volume])
    return _resize_depth(volume, shape[0])


def _resize_depth(volume: FloatArray, depth: int) -> FloatArray:
    if depth == len(volume):
        return volume
    flat = _resize_plane(volume.reshape(len(volume), -1), (depth, volume[0].size))
    return flat.reshape(depth, *volume.shape[1:])

"""Contact sheets of a layer's channels: what they make of a scan, and what they look for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scanlens.methods.filters import Patterns
from scanlens.pictures.overlays import to_indices
from scanlens.pictures.panels import Pixels, scale_of, sheet, tile
from scanlens.pictures.shown import shown
from scanlens.types import FloatArray

_WIDEST = 1600
"""Pixels that a row of tiles should not exceed."""
LARGEST, LEAST = 96, 32
"""Sides of a tile in pixels."""


def tile_side(count: int) -> int:
    """Longest side of each of so many tiles."""
    return int(np.clip(_WIDEST / max(1.0, count**0.5), LEAST, LARGEST))


def activation_sheet(found: FloatArray, layer: str) -> Pixels:
    """Every channel of a layer, all on one scale: a dark tile is a quiet channel.

    Args:
        found: ``(channel, *grid)``. Of a volume's grid one plane is shown, the same for all channels: the one
            with the greatest sum of absolute activations.
        layer: Its name.
    """
    scale = scale_of(found, "activation", solid=True)
    title = f"activations of {layer}: {len(found)} channels of {_size(found.shape[1:])}"
    planes = found
    if found.ndim == 4:
        chosen = int(np.abs(found).sum((0, 2, 3)).argmax())
        planes = found[:, chosen]
        title += f", plane {chosen + 1}/{found.shape[1]}"
    side = tile_side(len(found))
    tiles = [tile(scale.paint(indices, indices), side) for indices in to_indices(scale.share(planes))]
    captions = [f"{number}: {_extreme(plane):.3g}" for number, plane in enumerate(found)]
    return sheet(tiles, captions, title, scale)


def filter_sheet(found: Patterns, channels: Sequence[int], of: int, layer: str, colour: bool) -> Pixels:
    """The pattern of each channel, as intensities in [0, 1], over its mean activation before and after.

    Args:
        found: Patterns; of volumes the middle slice is shown.
        channels: Their channels.
        of: Channels that the layer has.
        layer: Its name.
        colour: Whether three channels are red, green and blue.
    """
    title = f"patterns of {layer}: {len(channels)} of {of} channels"
    side = tile_side(len(channels))
    tiles = []
    for pixels in found.pixels:
        image = shown(pixels, colour)
        plane = image if image.ndim == 3 else image[:, image.shape[1] // 2]
        whole = to_indices(plane).transpose(1, 2, 0)
        tiles.append(tile(whole[..., 0] if whole.shape[-1] == 1 else whole, side))
    captions = [
        f"{number}: {before:.2g} to {after:.2g}"
        for number, before, after in zip(channels, found.before, found.after, strict=True)
    ]
    return sheet(tiles, captions, title, None)


def _extreme(plane: FloatArray) -> float:
    """The value farthest from 0."""
    return float(plane.flat[int(np.abs(plane).argmax())])


def _size(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))

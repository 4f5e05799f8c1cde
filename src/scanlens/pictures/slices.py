"""A volume's slices: a sheet the gallery pages through, an animation to keep, outlines slice by slice."""

from __future__ import annotations

import io
import math

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from scanlens.maps.probability import upsample
from scanlens.pictures.overlays import (
    OUTLINE,
    as_grey,
    blend,
    enlarged_picture,
    scan_pixels,
    scan_png,
    size_within,
)
from scanlens.types import FloatArray, ImageArray

MAX_SLICES = 64
"""Slices of a volume that a sheet or an animation holds; of more, as many evenly spread ones."""
FRAME_MS = 120
"""How long an animation shows a slice."""


def spread(depth: int) -> list[int]:
    """The slices that are shown of ``depth``, ascending, the first and the last among them."""
    return [int(number) for number in np.unique(np.linspace(0, depth - 1, min(depth, MAX_SLICES)).round())]


def columns(count: int) -> int:
    """Tiles side by side on a sheet of ``count``."""
    return math.ceil(math.sqrt(count))


def sheet_png(volume: ImageArray, side: int) -> bytes:
    """The shown slices in reading order, tile by tile, never enlarged.

    Args:
        volume: In [0, 1], ``(channel, depth, height, width)``.
        side: Longest side of a tile in pixels.
    """
    numbers = spread(volume.shape[1])
    height, width = size_within(volume.shape[2:], min(side, max(volume.shape[2:])))
    tiles = [scan_pixels(volume[:, number], height, width) for number in numbers]
    across = columns(len(tiles))
    sheet = np.zeros((math.ceil(len(tiles) / across) * height, across * width, *tiles[0].shape[2:]), np.uint8)
    for index, tile in enumerate(tiles):
        top, left = index // across * height, index % across * width
        sheet[top : top + height, left : left + width] = tile
    return scan_png(sheet)


def animation(volume: ImageArray, values: FloatArray, mask: npt.NDArray[np.bool_] | None, side: int) -> bytes:
    """An animated WebP that goes through the shown slices with the map over them.

    Args:
        volume: In [0, 1], ``(channel, depth, height, width)``.
        values: The map, ``grid``, in [0, 1].
        mask: Lesion mask ``(depth, height, width)``, or None.
        side: Longest side in pixels.
    """
    height, width = size_within(volume.shape[2:], side)
    deep = upsample(values, (volume.shape[1], *values.shape[1:]))
    frames = []
    for number in spread(volume.shape[1]):
        grey = as_grey(scan_pixels(volume[:, number], height, width))
        body = blend(grey, enlarged_picture(deep[number], height, width))
        if mask is not None and mask[number].any():
            large = cv2.resize(
                mask[number].astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST
            )
            contours, _ = cv2.findContours(large, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(body, contours, -1, OUTLINE, thickness=1)
        frames.append(Image.fromarray(body))
    stream = io.BytesIO()
    frames[0].save(
        stream,
        "WEBP",
        save_all=True,
        append_images=frames[1:],
        duration=FRAME_MS,
        loop=0,
        quality=80,
        method=0,
    )
    return stream.getvalue()


def outlines(mask: npt.NDArray[np.bool_] | None, volume: bool) -> dict[int, str]:
    """The lesion's border as SVG paths, so that it stays sharp at every size.

    Args:
        mask: Lesion mask ``([depth,] height, width)``, or None.
        volume: Whether the mask has slices.

    Returns:
        From a slice (0 for an image) to its path in mask pixels, within half a pixel of the border; slices
        without lesion are left out.
    """
    if mask is None:
        return {}
    if not volume:
        return {0: _path(mask)} if mask.any() else {}
    return {number: _path(mask[number]) for number in spread(len(mask)) if mask[number].any()}


def _path(mask: npt.NDArray[np.bool_]) -> str:
    # At twice the size a contour through the centres of border pixels keeps a lesion of one pixel open.
    double = mask.astype(np.uint8).repeat(2, axis=0).repeat(2, axis=1)
    contours, _ = cv2.findContours(double, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    parts = []
    for contour in contours:
        points = (cv2.approxPolyDP(contour, 0.8, True)[:, 0] + 0.5) / 2
        parts.append("M" + "L".join(f"{x:g} {y:g}" for x, y in points) + "Z")
    return "".join(parts)

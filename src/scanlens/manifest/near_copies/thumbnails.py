"""A small grey picture of every scan: what near copies are looked for in, and what reports show."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from scanlens.types import FloatArray, ImageArray

SIDE = 64
"""Side of a thumbnail in pixels: the whole picture is stretched to it, whatever its aspect."""
_PERCENTILES = (0.5, 99.5)

Thumbnail = npt.NDArray[np.uint8]
"""``(SIDE, SIDE)``, 0 darkest, 255 brightest."""


def picture(pixels: ImageArray) -> FloatArray:
    """One grey picture of a scan: the mean of its channels, the middle slice of a volume.

    Args:
        pixels: float32, ``(channel, [depth,] height, width)``.

    Returns:
        float32, ``(height, width)``, in the units of ``pixels``.
    """
    if pixels.ndim == 4:
        pixels = pixels[:, pixels.shape[1] // 2]
    return pixels.mean(axis=0, dtype=np.float32)


def stretched(image: FloatArray, height: int, width: int) -> FloatArray:
    """Resize a picture: area averaging where it shrinks, linear where it grows, each axis by itself.

    Args:
        image: float32, ``(height, width)``.
        height: Of the result.
        width: Of the result.
    """
    for size, grows in (
        ((image.shape[1], height), height > image.shape[0]),
        ((width, height), width > image.shape[1]),
    ):
        method = cv2.INTER_LINEAR if grows else cv2.INTER_AREA
        image = np.asarray(cv2.resize(np.ascontiguousarray(image), size, interpolation=method))
    return image


def thumbnail(pixels: ImageArray, side: int = SIDE) -> Thumbnail:
    """Shrink a scan to a grey picture that no unit, window or container changes much.

    Args:
        pixels: float32, ``(channel, [depth,] height, width)``, any range.
        side: Of the thumbnail.

    Returns:
        uint8, ``(side, side)``: the :func:`picture` stretched, its 0.5th percentile at 0 and its 99.5th at
        255. All zeros for a constant scan and for one whose pixels are not finite.
    """
    image = stretched(picture(pixels), side, side)
    if not np.isfinite(image).all():
        return np.zeros((side, side), np.uint8)
    low, high = (float(value) for value in np.percentile(image, _PERCENTILES))
    if high <= low:
        low, high = float(image.min()), float(image.max())
    if high <= low:
        return np.zeros((side, side), np.uint8)
    scaled = (image - np.float32(low)) * np.float32(255 / (high - low))
    return np.rint(scaled.clip(0, 255)).astype(np.uint8)

"""A small grey picture of every scan: what near copies are looked for in, and what reports show."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from scanlens.types import FloatArray, ImageArray

SIDE = 64
"""Side of a thumbnail in pixels: the whole picture is stretched to it, whatever its aspect."""
_PERCENTILES = (0.5, 99.5)

_Thumbnail = npt.NDArray[np.uint8]
"""``(SIDE, SIDE)``, 0 darkest, 255 brightest."""


def picture(pixels: ImageArray) -> FloatArray:
    """One grey picture of a scan: the mean of its channels, the middle slice of a volume.

    Args:
        pixels: float32, ``(channel, [depth,] height, width)``.

    Returns:
        float32, ``(height, width)``, in the units of ``pixels``.

    Example:
        >>> volume = np.zeros((1, 3, 4, 5), np.float32)
        >>> volume[0, 1] = 7.0
        >>> picture(volume).shape, float(picture(volume).mean())  # the middle slice
        ((4, 5), 7.0)
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

    Example:
        >>> stretched(np.array([[0.0, 1.0, 2.0, 3.0]], np.float32), 2, 2).tolist()
        [[0.5, 2.5], [0.5, 2.5]]
    """
    for size, grows in (
        ((image.shape[1], height), height > image.shape[0]),
        ((width, height), width > image.shape[1]),
    ):
        method = cv2.INTER_LINEAR if grows else cv2.INTER_AREA
        image = np.asarray(cv2.resize(np.ascontiguousarray(image), size, interpolation=method))
    return image


def thumbnail(pixels: ImageArray, side: int = SIDE) -> _Thumbnail:
    """Shrink a scan to a grey picture that no unit, window or container changes much.

    Args:
        pixels: float32, ``(channel, [depth,] height, width)``, any range.
        side: Of the thumbnail.

    Returns:
        uint8, ``(side, side)``: the :func:`picture` stretched, its 0.5th percentile at 0 and its 99.5th at
        255. All zeros for a constant scan and for one whose pixels are not finite.

    Example:
        >>> ramp = np.linspace(-1000, 3000, 200, dtype=np.float32).reshape(1, 1, 200)
        >>> thumbnail(ramp, side=4)[0].tolist()
        [0, 85, 170, 255]
        >>> thumbnail(ramp * 0, side=2).tolist()
        [[0, 0], [0, 0]]
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

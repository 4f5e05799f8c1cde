"""Gaussian smoothing and resampling that come out alike on every machine.

A filter's result depends on the order of its sums, which OpenCV chooses by the processor. Sums of whole
numbers are exact in any order as long as they stay below 2 ** 24 in float32 and 2 ** 53 in float64, so
layers and weights are made whole numbers first.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from scanlens.phantom.arithmetic import exp
from scanlens.types import FloatArray

WEIGHT_SUM = 256
"""What the weights of one axis add up to: 255 * 256 * 256 is still below 2 ** 24."""
_LEVELS = 1 << 16
"""Steps of 1 that a float layer is rounded to."""
_MIN_SIGMA = 0.2
_SMALL_SIGMA = 3
"""Standard deviation, in pixels of the shrunken layer, that a wide smoothing is done with at least."""


def gaussian_weights(sigma: float) -> npt.NDArray[np.float32]:
    """Weights of a Gaussian of ``sigma`` pixels, ``(n,)``, n odd: whole numbers of sum :data:`WEIGHT_SUM`."""
    radius = int(3.5 * sigma) + 1
    offsets = np.arange(-radius, radius + 1, dtype=np.float64)
    shape = exp(-offsets * offsets / (2 * sigma * sigma))
    weights = np.rint(shape * (WEIGHT_SUM / np.cumsum(shape)[-1]))
    weights[radius] += WEIGHT_SUM - np.cumsum(weights)[-1]
    return weights.astype(np.float32)


def smooth(layer: np.ndarray, sigma: float) -> FloatArray:
    """Smooth a layer with a Gaussian of ``sigma`` pixels.

    Args:
        layer: uint8 ``(height, width)``, where 255 means 1, or float with values up to a few thousand.
        sigma: Standard deviation in pixels; below 0.2 nothing is smoothed.

    Returns:
        float32 ``(height, width)``.
    """
    drawn = layer.dtype == np.uint8
    if sigma < _MIN_SIGMA:
        return layer.astype(np.float32) / np.float32(255 if drawn else 1)
    if drawn:
        weights = gaussian_weights(sigma)
        sums = cv2.sepFilter2D(layer, cv2.CV_32F, weights, weights)
        return np.asarray(sums * np.float32(1 / (255 * WEIGHT_SUM**2)))
    return (_filter(_whole(layer), sigma) / (_LEVELS * WEIGHT_SUM**2)).astype(np.float32)


def smooth_wide(layer: FloatArray, sigma: float) -> FloatArray:
    """Like :func:`smooth`, for a ``sigma`` of many pixels: done on a shrunken copy for speed."""
    factor = max(1, int(sigma / _SMALL_SIGMA))
    height, width = layer.shape
    padded = np.pad(_whole(layer), ((0, -height % factor), (0, -width % factor)), mode="edge")
    blocks = padded.reshape(padded.shape[0] // factor, factor, -1, factor).sum(axis=(1, 3))
    small = _filter(blocks, sigma / factor) / (_LEVELS * WEIGHT_SUM**2 * factor * factor)
    return stretch(small, _middles(height, factor), _middles(width, factor))


def distance_inside(canvas: np.ndarray, step: float) -> FloatArray:
    """How many pixels each place lies within what is drawn, float32 ``(height, width)``.

    Args:
        canvas: uint8 ``(height, width)``; drawn where it is above 127.
        step: Pixels between the places that are measured; those between are interpolated.
    """
    height, width = canvas.shape
    factor = max(1, int(step))
    coarse = (canvas[factor // 2 :: factor, factor // 2 :: factor] > 127).astype(np.uint8)
    distance = cv2.distanceTransform(coarse, cv2.DIST_L2, cv2.DIST_MASK_PRECISE).astype(np.float64)
    # Squared distances are whole numbers, whatever way the machine came by the root.
    exact = factor * np.sqrt(np.rint(np.minimum(distance, sum(canvas.shape)) ** 2))
    return stretch(exact, _middles(height, factor), _middles(width, factor))


def stretch(table: FloatArray, rows: FloatArray, columns: FloatArray) -> FloatArray:
    """Read a table between its places, bilinearly; beyond its rim it stays what it is there.

    Args:
        table: ``(n, m)``, both 2 or more.
        rows: Where each row of the result lies in the table, ``(height,)``.
        columns: Where each column of the result lies, ``(width,)``.

    Returns:
        float32 ``(height, width)``.
    """
    upper, down = _between(rows, table.shape[0])
    left, across = _between(columns, table.shape[1])
    read = (table[upper] + down[:, None] * (table[upper + 1] - table[upper])).astype(np.float32)
    first = read[:, left]
    return np.asarray(first + across.astype(np.float32) * (read[:, left + 1] - first))


def _whole(layer: FloatArray) -> FloatArray:
    return np.rint(layer.astype(np.float64) * _LEVELS)


def _filter(whole: FloatArray, sigma: float) -> FloatArray:
    weights = gaussian_weights(sigma).astype(np.float64)
    return np.asarray(cv2.sepFilter2D(whole, cv2.CV_64F, weights, weights, borderType=cv2.BORDER_REPLICATE))


def _middles(count: int, factor: int) -> FloatArray:
    """Where ``count`` pixels lie among the middles of blocks of ``factor`` pixels."""
    return np.asarray((np.arange(count) + 0.5) / factor - 0.5)


def _between(places: FloatArray, count: int) -> tuple[npt.NDArray[np.intp], FloatArray]:
    """The index before each place, and how far the place is on the way to the next."""
    at = np.clip(places, 0, count - 1)
    before = np.minimum(at.astype(np.intp), count - 2)
    return before, at - before

"""Low-frequency descriptors of thumbnails and of windows of them: near copies lie close together.

A picture's lowest cosine frequencies are what a perceptual hash keeps one bit of (Zauner 2010); kept as
numbers they tell more. Three properties make them fit for the search:

- Mirroring a picture changes the sign of its odd frequencies, its negative changes all signs, turning it
  transposes them: none of these costs a transform of its own, and absolute values are blind to all but turns.
- The frequencies of a window of a picture are one matrix product away, so that a copy cropped out of a scan
  is found by comparing it with the scan's windows.
- What a crop a little off the grid, or another exposure, changes in them is learnt from the pictures
  themselves and divided out (whitening by the within-copy covariance, as in linear discriminant analysis).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from scanlens.manifest.near_copies.thumbnails import SIDE

FREQUENCIES = 6
"""Lowest cosine frequencies along each axis; the constant one is left out."""
LENGTH = FREQUENCIES**2 - 1

_SAMPLES = 32
_SLOPE = 3.0
_FINE = 4
# Windows along one axis as (start, extent), parts of the side: crops to 75 % and more, each start no more
# than 0.03 away from one of the grid.
_STARTS = {1.0: 1, 0.93: 3, 0.86: 4, 0.79: 5}
SPANS: tuple[tuple[float, float], ...] = tuple(
    (float(start), extent) for extent, count in _STARTS.items() for start in np.linspace(0, 1 - extent, count)
)


def _alike(first: float, second: float) -> bool:
    """Crops keep the aspect roughly, or trim one axis alone."""
    return abs(first - second) < 0.08 or 1.0 in (first, second)


WINDOWS: tuple[tuple[int, int], ...] = tuple(
    (rows, columns)
    for rows, columns in product(range(len(SPANS)), repeat=2)
    if _alike(SPANS[rows][1], SPANS[columns][1])
)
"""The windows searched: numbers of their row span and their column span in :data:`SPANS`."""
LAYS: tuple[tuple[bool, bool, bool], ...] = tuple(
    (transpose, rows, columns) for transpose, rows, columns in product((False, True), repeat=3)
)
"""Transposed first, then rows reversed, then columns reversed: all eight ways to lay a picture."""

Floats = npt.NDArray[np.float32]


def laid(image: Floats, lay: int, negative: bool) -> Floats:
    """Lay an equalised ``(height, width)`` picture as :data:`LAYS` says, or its negative.

    Example:
        >>> columns_reversed = LAYS.index((False, False, True))
        >>> image = np.array([[0.125, 0.25], [0.375, 0.5]], np.float32)
        >>> laid(image, columns_reversed, negative=True).tolist()
        [[-0.25, -0.125], [-0.5, -0.375]]
    """
    transpose, rows, columns = LAYS[lay]
    image = image.T if transpose else image
    image = image[::-1] if rows else image
    image = image[:, ::-1] if columns else image
    return np.ascontiguousarray(-image if negative else image)


def equalised(image: npt.NDArray[np.uint8]) -> Floats:
    """Equalise a picture's histogram to [-0.5, 0.5]: brightness, contrast and gamma drop out.

    Each grey value counts for at most :data:`_SLOPE` times its even share: without a limit a white field with
    a little noise becomes noise all over.

    Example:
        >>> ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
        >>> print(equalised(ramp).min().round(3), equalised(ramp).max().round(3))
        -0.498 0.498
        >>> np.array_equal(equalised(ramp // 2), equalised(ramp // 2 + 100))  # brightness drops out
        True
    """
    counts = np.bincount(image.ravel(), minlength=256)
    counts = np.minimum(counts, _SLOPE * image.size / 256)
    below = np.cumsum(counts) - counts / 2
    return np.take((below / counts.sum() - 0.5).astype(np.float32), image)


def equalised_all(thumbnails: npt.NDArray[np.uint8]) -> Floats:
    """:func:`equalised` for ``(scan, SIDE, SIDE)``.

    Example:
        >>> thumbnails = np.zeros((2, SIDE, SIDE), np.uint8)
        >>> equalised_all(thumbnails).shape, float(equalised_all(thumbnails).max())  # of one grey: the middle
        ((2, 64, 64), 0.0)
    """
    images = np.empty(thumbnails.shape, np.float32)
    for image, thumbnail in zip(images, thumbnails, strict=True):
        image[:] = equalised(thumbnail)
    return images


def _cosines() -> npt.NDArray[np.float64]:
    """Orthonormal DCT-II, ``(FREQUENCIES, _SAMPLES)``."""
    places = (np.arange(_SAMPLES) + 0.5) / _SAMPLES
    waves = np.cos(np.pi * np.arange(FREQUENCIES)[:, None] * places) * np.sqrt(2 / _SAMPLES)
    waves[0] /= np.sqrt(2)
    return waves


def _operator(start: float, extent: float) -> npt.NDArray[np.float64]:
    """Cosine frequencies of the span of an axis, ``(FREQUENCIES, SIDE)``: resampling and DCT in one."""
    fine = (start + extent * (np.arange(_SAMPLES * _FINE) + 0.5) / (_SAMPLES * _FINE)) * SIDE - 0.5
    left = np.floor(fine).astype(int).clip(0, SIDE - 2)
    part = (fine - left).clip(0, 1)
    resample = np.zeros((len(fine), SIDE))
    resample[np.arange(len(fine)), left] = 1 - part
    resample[np.arange(len(fine)), left + 1] += part
    return _cosines() @ resample.reshape(_SAMPLES, _FINE, SIDE).mean(axis=1)


_GRID = np.concatenate([_operator(*span) for span in SPANS]).astype(np.float32)
_WHOLE = _operator(0, 1).astype(np.float32)
_SIGNS = np.array([1, -1], np.float32)[np.arange(FREQUENCIES) % 2]
_ROWS, _COLUMNS = (np.array(axis) for axis in zip(*WINDOWS, strict=True))


def of_windows(images: Floats) -> Floats:
    """Descriptors of every window.

    Args:
        images: ``(scan, SIDE, SIDE)``, equalised.

    Returns:
        ``(scan, window, LENGTH)``, each of length 1 (0 for a flat window).

    Example:
        >>> images = np.random.default_rng(0).random((2, SIDE, SIDE), np.float32) - 0.5
        >>> of_windows(images).shape == (2, len(WINDOWS), LENGTH)
        True
    """
    spans = len(SPANS)
    half = images.transpose(0, 2, 1).reshape(-1, SIDE) @ _GRID.T
    half = half.reshape(len(images), SIDE, -1).transpose(0, 2, 1).reshape(-1, SIDE) @ _GRID.T
    table = half.reshape(len(images), spans, FREQUENCIES, spans, FREQUENCIES)
    return _unit(table.transpose(0, 1, 3, 2, 4)[:, _ROWS, _COLUMNS])


def of_lays(images: Floats) -> Floats:
    """Descriptors of the whole picture laid in each of the ways of :data:`LAYS`.

    Args:
        images: ``(scan, SIDE, SIDE)``, equalised.

    Returns:
        ``(scan, lay, LENGTH)``, each of length 1 (0 for a flat picture).

    Example:
        >>> described = of_lays(np.random.default_rng(0).random((2, SIDE, SIDE), np.float32) - 0.5)
        >>> described.shape, float(np.linalg.norm(described[0, 0]).round(3))
        ((2, 8, 35), 1.0)
    """
    upright = _WHOLE @ images @ _WHOLE.T
    tables = []
    for transpose, rows, columns in LAYS:
        table = upright.transpose(0, 2, 1) if transpose else upright
        table = table * _SIGNS[:, None] if rows else table
        tables.append(table * _SIGNS if columns else table)
    return _unit(np.stack(tables, axis=1))


def _unit(tables: npt.NDArray[Any]) -> Floats:
    flat = tables.reshape(*tables.shape[:-2], -1)[..., 1:]
    return flat / np.maximum(np.linalg.norm(flat, axis=-1, keepdims=True), np.float32(1e-6))


@dataclass(frozen=True)
class Whitening:
    """Matrices that make the within-copy noise equal along every axis.

    Attributes:
        signed: ``(LENGTH, LENGTH)``, for descriptors.
        absolute: ``(LENGTH, LENGTH)``, for absolute values of descriptors.
    """

    signed: Floats
    absolute: Floats


_DRAWS = 24
_PICTURES = 400
_MISFIT = 0.035
_RIDGE = 0.02


def learn_whitening(images: Floats, seed: int = 0) -> Whitening:
    """Learn from pictures how descriptors of a window differ from those of one a little off.

    Args:
        images: ``(scan, SIDE, SIDE)``, equalised; some hundreds suffice.
        seed: Of the windows drawn.

    Example:
        >>> images = np.random.default_rng(0).random((4, SIDE, SIDE), np.float32) - 0.5
        >>> learn_whitening(images).signed.shape == (LENGTH, LENGTH)
        True
    """
    rng = np.random.default_rng(seed)
    near, off = [], []
    for _ in range(_DRAWS):
        extent = rng.uniform(0.79, 0.93)
        starts = rng.uniform(_MISFIT, 1 - extent - _MISFIT, 2)
        shift, growth = rng.uniform(-_MISFIT, _MISFIT, (2, 2))
        sample = images[rng.choice(len(images), min(len(images), _PICTURES), replace=False)]
        near.append(_cut(sample, starts, np.full(2, extent)))
        off.append(_cut(sample, starts + shift - growth / 2, extent + growth))
    first, second = np.concatenate(near), np.concatenate(off)
    return Whitening(_whiten(first - second), _whiten(np.abs(first) - np.abs(second)))


def _cut(images: Floats, starts: npt.NDArray[np.float64], extents: npt.NDArray[np.float64]) -> Floats:
    rows, columns = (
        _operator(float(start), float(extent)).astype(np.float32)
        for start, extent in zip(starts, extents, strict=True)
    )
    return _unit(rows @ images @ columns.T)


def _whiten(noise: Floats) -> Floats:
    covariance = noise.astype(np.float64).T @ noise / len(noise)
    covariance += np.eye(LENGTH) * (_RIDGE * np.trace(covariance) / LENGTH + 1e-9)
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors / np.sqrt(values), np.float32)

"""How far made scans are from training scans, in a few numbers that need no other network.

The Fréchet distance is taken between Gaussians fitted to local means, spreads and gradients on a coarse
grid. It sees brightness, layout and sharpness, and nothing of anatomy: it compares runs on one data set, it
cannot be compared with published values (those use an ImageNet network), and with few scans it is biased
upwards, so the distance between two halves of the training scans stands beside it.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from scanlens.types import FloatArray, ImageArray

GRID = 4
"""Cells along each axis, of two axes for images and volumes alike (volumes: the last two)."""
SHRINKAGE = 0.05
"""Share of the diagonal in the covariances, which few scans leave singular."""

Float64 = npt.NDArray[np.float64]


def features(scans: ImageArray) -> Float64:
    """Local mean, standard deviation and mean gradient on a coarse grid.

    Args:
        scans: ``(scan, channel, *spatial)`` in [0, 1].

    Returns:
        ``(scan, 3 * GRID**2)``; channels and the depth of volumes are averaged.
    """
    grey = scans.mean(axis=1)
    height, width = grey.shape[-2:]
    steps = np.abs(np.diff(grey, axis=-1))[..., :-1, :] + np.abs(np.diff(grey, axis=-2))[..., :-1]
    columns = []
    for rows in np.array_split(np.arange(height), GRID):
        for places in np.array_split(np.arange(width), GRID):
            cell = grey[..., rows[0] : rows[-1] + 1, places[0] : places[-1] + 1].reshape(len(grey), -1)
            edge = steps[..., rows[0] : rows[-1] + 1, places[0] : places[-1] + 1].reshape(len(grey), -1)
            columns += [cell.mean(axis=1), cell.std(axis=1), edge.mean(axis=1)]
    return np.stack(columns, axis=1).astype(np.float64)


def frechet_distance(first: FloatArray, second: FloatArray) -> float:
    """Squared Fréchet distance between Gaussians fitted to two sets (Dowson and Landau 1982).

    Args:
        first: ``(scan, feature)``, at least two scans.
        second: ``(scan, feature)``, at least two scans.
    """
    gap = first.mean(axis=0) - second.mean(axis=0)
    left, right = _covariance(first), _covariance(second)
    root = _square_root(left)
    crossed = np.linalg.eigvalsh(root @ right @ root)
    trace = np.trace(left) + np.trace(right) - 2 * np.sqrt(np.clip(crossed, 0, None)).sum()
    return float(gap @ gap + max(trace, 0.0))


def intensity(blocks: Iterable[ImageArray]) -> dict[str, float]:
    """Mean and standard deviation over every pixel of the blocks."""
    count, total, squares = 0, 0.0, 0.0
    for block in blocks:
        values = block.astype(np.float64)
        count, total, squares = count + values.size, total + values.sum(), squares + np.square(values).sum()
    mean = total / count
    return {"mean": float(mean), "std": float(np.sqrt(max(squares / count - mean**2, 0.0)))}


def _covariance(values: FloatArray) -> Float64:
    covariance = np.cov(values, rowvar=False)
    return (1 - SHRINKAGE) * covariance + SHRINKAGE * np.diag(np.diag(covariance))


def _square_root(matrix: Float64) -> Float64:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T

"""Where probability maps put their mass: on average, and against the area of border and corners."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scanlens.types import FloatArray

CHUNK = 64
"""Maps read at one time."""


@dataclass(frozen=True)
class Mass:
    """What is kept of the maps.

    Attributes:
        average: Mean map of each class over the scans that are labelled so, ``(class, *grid)``; NaN where
            there is none.
        predicted: Sum of each scan's map of its predicted class in each region, ``{region: (scan,)}``.
        total: Sum of that map, ``(scan,)``.
        area: Share of the scan that each region is, ``{region: (scan,)}``.
        level: Mean of every class's map, ``(scan, class)``.
    """

    average: FloatArray
    predicted: dict[str, FloatArray]
    total: FloatArray
    area: dict[str, FloatArray]
    level: FloatArray


def weigh(
    maps: npt.NDArray[np.floating],
    positions: npt.NDArray[np.int64],
    targets: npt.NDArray[np.int64],
    predicted: npt.NDArray[np.int64],
    regions: dict[str, FloatArray],
) -> Mass:
    """Sum the maps over regions, a few at a time.

    Args:
        maps: Memory-mapped, ``(row, class, *grid)`` in [0, 1].
        positions: Rows of the scans in question, ascending.
        targets: Class of each.
        predicted: Predicted class of each.
        regions: Share of each cell that belongs to a region, ``(*grid)`` or ``(scan, *grid)``.
    """
    classes, grid = maps.shape[1], maps.shape[2:]
    sums = np.zeros((classes, *grid))
    total, level = np.zeros(len(positions)), np.zeros((len(positions), classes))
    inside: dict[str, FloatArray] = {name: np.zeros(len(positions)) for name in regions}
    area: dict[str, FloatArray] = {name: np.zeros(len(positions)) for name in regions}
    axes = tuple(range(1, 1 + len(grid)))
    for start in range(0, len(positions), CHUNK):
        part = slice(start, start + CHUNK)
        values = np.asarray(maps[positions[part]], dtype=np.float64)
        for target in np.unique(targets[part]):
            sums[target] += values[targets[part] == target, target].sum(axis=0)
        level[part] = values.mean(axis=tuple(range(2, values.ndim)))
        own = values[np.arange(len(values)), predicted[part]]
        total[part] = own.sum(axis=axes)
        for name, region in regions.items():
            shares = np.broadcast_to(region if region.ndim == len(grid) else region[part], own.shape)
            inside[name][part] = (own * shares).sum(axis=axes)
            area[name][part] = shares.mean(axis=axes)
    counts = np.bincount(targets, minlength=classes).reshape(-1, *[1] * len(grid))
    average = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
    return Mass(average, inside, total, area, level)

"""Every kind of map of every scan at the scan's own size, and the controls beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from tqdm import tqdm

from scanlens.map_scores.controls import CONTROLS, EDGES, RANDOM, edge_map, random_map
from scanlens.map_scores.kinds import MapKinds, of_class
from scanlens.map_scores.sample import Sample
from scanlens.maps.probability import upsample
from scanlens.models.ensemble import Network
from scanlens.types import FloatArray, IntArray

COMPARED_SIDE = 64
"""Longest side at which two maps of one scan are compared: they have no finer detail, and it is quicker."""
_RANDOM_MAP = 1


class Pictures:
    """Maps of one class a scan, kept at the size of their grid.

    Args:
        sample: The scans.
        maps: ``(scan, *grid)`` by kind.
        orders: What ranks a map's cells, of the same shape; kinds that are not named rank by their values.
    """

    def __init__(
        self, sample: Sample, maps: Mapping[str, FloatArray], orders: Mapping[str, FloatArray] | None = None
    ) -> None:
        self._sample = sample
        self.maps = dict(maps)
        self.orders = dict(orders or {})
        self.names = [*self.maps, *CONTROLS]

    def at(self, kind: str, index: int) -> FloatArray:
        """The map of one scan, ``(*spatial)``.

        The random map has the grid of the first kind: the control should be as coarse as the maps are.
        """
        size = self._sample.size
        if kind == EDGES:
            return edge_map(self._sample.scan(index))
        if kind == RANDOM:
            grid = next(iter(self.maps.values())).shape[1:]
            return random_map(grid, size, self._sample.generator(index, _RANDOM_MAP))
        return upsample(self.maps[kind][index], size)

    def order(self, kind: str, index: int) -> FloatArray | None:
        """What ranks the pixels of the map of one scan, ``(*spatial)``; None where its values do."""
        if kind in self.orders:
            return upsample(self.orders[kind][index], self._sample.size)
        return None

    def ordered(self, kind: str, indices: IntArray) -> FloatArray:
        """What ranks the pixels of the maps of several scans, ``(len(indices), *spatial)``."""
        orders = [(self.order(kind, int(index)), int(index)) for index in indices]
        return np.stack([self.at(kind, index) if order is None else order for order, index in orders])

    def coarse(self, kind: str, indices: IntArray) -> FloatArray:
        """Maps of several scans at the size they are compared at; not of the controls."""
        return compared(self.maps[kind][indices], self._sample.size)


def compared(maps: FloatArray, size: Sequence[int]) -> FloatArray:
    """Maps ``(batch, *grid)`` at the scans' size, or where that is larger at :data:`COMPARED_SIDE`.

    Args:
        maps: To bring to that size.
        size: ``(*spatial)`` of the scans; the proportions of its sides are kept.
    """
    shrunk = min(1.0, COMPARED_SIDE / max(size))
    return upsample(maps, [max(3, round(shrunk * side)) for side in size])


def draw(
    network: Network, sample: Sample, kinds: MapKinds, positions: IntArray, classes: tuple[IntArray, ...]
) -> tuple[Pictures, ...]:
    """Draw all kinds of map of the sample's scans in one pass.

    Args:
        network: In evaluation mode.
        sample: The scans.
        kinds: Of map.
        positions: Of the scans in maps that were computed beforehand.
        classes: ``(scan,)`` each: whose map is wanted; one result for each.
    """
    found = [MapParts() for _ in classes]
    with tqdm(total=len(sample), desc="maps to score", unit="scan") as progress:
        for batch in sample.batches():
            maps, orders = kinds.ordered(network, batch.inputs)
            maps |= kinds.given(positions[batch.indices])
            for own, wanted in zip(found, classes, strict=True):
                own.add(of_class(maps, wanted[batch.indices]), of_class(orders, wanted[batch.indices]))
            progress.update(len(batch.indices))
    return tuple(own.pictures(sample) for own in found)


class MapParts:
    """Maps and orders of one batch after another, each of the class wanted of its scan."""

    def __init__(self) -> None:
        self._maps: dict[str, list[FloatArray]] = {}
        self._orders: dict[str, list[FloatArray]] = {}

    def add(self, maps: Mapping[str, FloatArray], orders: Mapping[str, FloatArray]) -> None:
        """Those of the next scans, ``(batch, *grid)`` by kind."""
        for kept, new in ((self._maps, maps), (self._orders, orders)):
            for name, values in new.items():
                kept.setdefault(name, []).append(values)

    def pictures(self, sample: Sample) -> Pictures:
        """All of them."""
        maps, orders = (
            {name: np.concatenate(parts) for name, parts in kept.items()}
            for kept in (self._maps, self._orders)
        )
        return Pictures(sample, maps, orders)

"""Every kind of map of every scan at the scan's own size, and the controls beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from tqdm import tqdm

from scanlens.explanation.maps import upsample
from scanlens.explanation.scoring.controls import CONTROLS, EDGES, RANDOM, edge_map, random_map
from scanlens.explanation.scoring.kinds import MapKinds, of_class
from scanlens.explanation.scoring.sample import IntArray, Sample
from scanlens.models.ensemble import Network
from scanlens.types import FloatArray

COMPARED_SIDE = 64
"""Longest side at which two maps of one scan are compared: they have no finer detail, and it is quicker."""
_RANDOM_MAP = 1


class Pictures:
    """Maps of one class a scan, kept at the size of their grid.

    Args:
        sample: The scans.
        maps: ``(scan, *grid)`` by kind.
    """

    def __init__(self, sample: Sample, maps: Mapping[str, FloatArray]) -> None:
        self._sample = sample
        self.maps = dict(maps)
        self.names = [*self.maps, *CONTROLS]

    def at(self, kind: str, place: int) -> FloatArray:
        """The map of one scan, ``(*spatial)``.

        The random map has the grid of the first kind: the control should be as coarse as the maps are.
        """
        size = self._sample.size
        if kind == EDGES:
            return edge_map(self._sample.scan(place))
        if kind == RANDOM:
            grid = next(iter(self.maps.values())).shape[1:]
            return random_map(grid, size, self._sample.generator(place, _RANDOM_MAP))
        return upsample(self.maps[kind][place], size)

    def some(self, kind: str, places: IntArray) -> FloatArray:
        """Maps of several scans, ``(len(places), *spatial)``."""
        return np.stack([self.at(kind, int(place)) for place in places])

    def coarse(self, kind: str, places: IntArray) -> FloatArray:
        """Maps of several scans at the size they are compared at; not of the controls."""
        return compared(self.maps[kind][places], self._sample.size)


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
    found: list[dict[str, list[FloatArray]]] = [{} for _ in classes]
    with tqdm(total=len(sample), desc="maps to score", unit="scan") as progress:
        for batch in sample.batches():
            maps = {**kinds.compute(network, batch.inputs), **kinds.given(positions[batch.places])}
            for own, wanted in zip(found, classes, strict=True):
                for name, values in of_class(maps, wanted[batch.places]).items():
                    own.setdefault(name, []).append(values)
            progress.update(len(batch.places))
    return tuple(
        Pictures(sample, {name: np.concatenate(parts) for name, parts in own.items()}) for own in found
    )

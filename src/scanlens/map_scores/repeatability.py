"""Do maps hold still? Under small changes of the scan, and from one trained network to the next.

A scan is changed at random, its map is drawn, and compared with the map of the scan as it was after the same
turn, shift and zoom of that map: a method that repeats gives the same (Arun et al. 2021, "Assessing the
trustworthiness of saliency maps for localizing abnormalities in medical imaging", ask the same of networks
trained twice).
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from scanlens.augmentation.policy import BatchPolicy, build_policy
from scanlens.config.schema import MapScores, Policy
from scanlens.map_scores.kinds import MapKinds, of_class
from scanlens.map_scores.pictures import Pictures, compared
from scanlens.map_scores.sample import Sample
from scanlens.map_scores.similarity import similarity
from scanlens.models.classifier import Classifier
from scanlens.models.ensemble import Network
from scanlens.types import FloatArray, ImageArray

CHANGES = Policy(
    rotate_deg=5.0,
    translate=0.03,
    scale=0.05,
    brightness=0.05,
    contrast=0.1,
    gamma=0.1,
    noise=0.01,
    blur=0.5,
    horizontal_flip=0.0,
)
"""What another exposure of the same patient might change. The same for all runs, whatever they were trained
with, so that runs can be compared."""
_CHANGE = 3
_GEOMETRY = ("rotate_deg", "translate", "scale", "horizontal_flip")


class Changes:
    """Random changes of scans, and the same geometry for their maps.

    Args:
        policy: Ranges of the changes.
        dims: 2 or 3.
        channels: Of a scan.
    """

    def __init__(self, policy: Policy, dims: int, channels: int) -> None:
        self._all = build_policy(policy, dims, channels)
        self._geometry: BatchPolicy | None = None
        if any(getattr(policy, name) for name in _GEOMETRY):
            # Geometry is drawn first, so the same seed draws the same with nothing else behind it.
            others = {field.name: 0.0 for field in dataclasses.fields(policy) if field.name not in _GEOMETRY}
            self._geometry = build_policy(dataclasses.replace(policy, **others), dims, 1)

    def of_scans(self, scans: ImageArray, seeds: Sequence[int]) -> ImageArray:
        """Change scans ``(batch, channel, *spatial)`` in [0, 1], each by its own seed."""
        return self._all.apply_batch(scans, seeds)

    def of_maps(self, maps: FloatArray, seeds: Sequence[int]) -> FloatArray:
        """Turn, shift and zoom maps ``(batch, *spatial)``, >= 0, as the scans were."""
        if self._geometry is None:
            return maps
        axes = tuple(range(1, maps.ndim))
        # The policy takes numbers in [0, 1]; linear interpolation does not mind the scale.
        greatest = maps.max(axis=axes, keepdims=True)
        greatest = np.where(greatest > 0, greatest, 1)
        scaled = np.ascontiguousarray(maps / greatest, np.float32)[:, None]
        changed: FloatArray = self._geometry.apply_batch(scaled, seeds)[:, 0] * greatest
        return changed


def over_changes(
    network: Network,
    sample: Sample,
    kinds: MapKinds,
    drawn: Pictures,
    settings: MapScores,
    policy: Policy = CHANGES,
) -> dict[str, dict[str, FloatArray]]:
    """How alike maps are before and after random changes of the scan.

    Args:
        network: In evaluation mode.
        sample: The scans.
        kinds: Of map; those computed beforehand are left out.
        drawn: Maps of each scan's label.
        settings: Number of changes a scan.
        policy: Ranges of the changes.

    Returns:
        By kind ``spearman`` and ``ssim``, ``(scan,)`` each: means over the changes.
    """
    changes = Changes(policy, len(sample.size), sample.channels)
    parts: list[dict[str, dict[str, FloatArray]]] = []
    with tqdm(total=len(sample) * settings.changes, desc="changed scans", unit="scan") as progress:
        for batch in sample.batches():
            seeds = [
                sample.generator(int(index), _CHANGE).integers(2**31, size=settings.changes).tolist()
                for index in batch.indices
            ]
            targets = sample.targets[batch.indices]
            before = {kind: drawn.coarse(kind, batch.indices) for kind in kinds.computed}
            found: list[dict[str, dict[str, FloatArray]]] = []
            for own in zip(*seeds, strict=True):
                changed = sample.to_input(changes.of_scans(batch.scans, own))
                after = of_class(kinds.compute(network, changed), targets)
                found.append(
                    {
                        kind: similarity(changes.of_maps(before[kind], own), compared(values, sample.size))
                        for kind, values in after.items()
                    }
                )
                progress.update(len(own))
            parts.append(_means(found))
    return _joined(parts)


def over_members(
    members: Sequence[Classifier], sample: Sample, kinds: MapKinds
) -> dict[str, dict[str, FloatArray]]:
    """How alike the maps of networks are that were trained from different seeds or folds.

    Args:
        members: At least two.
        sample: The scans.
        kinds: Of map; those computed beforehand are left out.

    Returns:
        By kind ``spearman`` and ``ssim``, ``(scan,)`` each: means over every two members.
    """
    parts: list[dict[str, dict[str, FloatArray]]] = []
    with tqdm(total=len(sample), desc="maps of members", unit="scan") as progress:
        for batch in sample.batches():
            targets = sample.targets[batch.indices]
            maps = [
                {
                    kind: compared(values, sample.size)
                    for kind, values in of_class(kinds.compute(member, batch.inputs), targets).items()
                }
                for member in members
            ]
            found = [
                {kind: similarity(one[kind], two[kind]) for kind in one}
                for one, two in itertools.combinations(maps, 2)
            ]
            parts.append(_means(found))
            progress.update(len(batch.indices))
    return _joined(parts)


def _means(found: Sequence[dict[str, dict[str, FloatArray]]]) -> dict[str, dict[str, FloatArray]]:
    return {
        kind: {name: np.mean([one[kind][name] for one in found], axis=0) for name in scores}
        for kind, scores in found[0].items()
    }


def _joined(parts: Sequence[dict[str, dict[str, FloatArray]]]) -> dict[str, dict[str, FloatArray]]:
    return {
        kind: {name: np.concatenate([part[kind][name] for part in parts]) for name in scores}
        for kind, scores in parts[0].items()
    }

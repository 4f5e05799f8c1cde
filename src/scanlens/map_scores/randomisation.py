"""Weight randomisation: a map that stays when the network's weights go explains the scan, not the network.

Adebayo et al. 2018, "Sanity checks for saliency maps": weights are drawn anew from the last layer downwards,
in a cascade, until nothing learnt is left; maps must change, and their lesion scores fall to chance.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from tqdm import tqdm

from scanlens.config.schema import MapScores
from scanlens.map_scores.kinds import MapKinds, of_class
from scanlens.map_scores.lesions import score_all
from scanlens.map_scores.pictures import MapParts, Pictures
from scanlens.map_scores.sample import Sample
from scanlens.map_scores.similarity import similarity
from scanlens.models.ensemble import Ensemble, Network
from scanlens.types import FloatArray, IntArray

TOLERATED = 0.1
"""What a random network's lesion scores may have above chance, as a share of what the trained one's have:
some is left where lesions lie where any network looks, e.g. in the middle."""


def randomised(network: Network, share: float, seed: int, reference: Tensor) -> Network:
    """A copy with new weights in its last layers.

    Layers are drawn anew by their own rule of initialisation; weights without one are shuffled. What
    normalising layers know of their input is learnt again on the reference scans, as training would have it
    from the first step on: without, a deep random network gives the same flat map for every scan.

    Args:
        network: Trained; left as it is.
        share: Of the layers with weights, counted from the output, in (0, 1]; at least the last one.
        seed: Same seed, same weights.
        reference: Some of its input ``(batch, channel, *spatial)``.
    """
    changed = copy.deepcopy(network).eval()
    members = changed.networks() if isinstance(changed, Ensemble) else [changed]
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        for member in members:
            layers = _layers(member)
            fresh = layers[len(layers) - max(1, round(share * len(layers))) :]
            for layer in fresh:
                _draw(layer)
            _learn_statistics(member, fresh, reference)
    return changed


def shares(levels: int) -> list[float]:
    """Shares of layers drawn anew at each level of the cascade, rising to 1."""
    return [(level + 1) / levels for level in range(levels)]


def _layers(network: nn.Module) -> list[nn.Module]:
    """Modules that hold weights of their own, in the order they were registered: input first."""
    return [
        module for module in network.modules() if next(module.parameters(recurse=False), None) is not None
    ]


def _draw(layer: nn.Module) -> None:
    """New weights for one layer; on the processor first, so that every device draws the same."""
    reset = getattr(layer, "reset_parameters", None)
    if callable(reset):
        device = next(layer.parameters(recurse=False)).device
        layer.to("cpu")
        reset()
        layer.to(device)
        return
    for weight in layer.parameters(recurse=False):
        weight.copy_(weight.flatten()[torch.randperm(weight.numel()).to(weight.device)].view_as(weight))


def _learn_statistics(network: nn.Module, fresh: Sequence[nn.Module], reference: Tensor) -> None:
    """Mean and variance of the reference scans for every fresh layer that normalises by such."""
    normalising = [layer for layer in fresh if isinstance(layer, _BatchNorm) and layer.track_running_stats]
    if not normalising:
        return
    momenta = [layer.momentum for layer in normalising]
    for layer in normalising:
        layer.reset_running_stats()
        layer.momentum = None  # a plain mean, from nothing
        layer.train()
    network(reference)
    for layer, momentum in zip(normalising, momenta, strict=True):
        layer.momentum = momentum
        layer.eval()


@dataclass(frozen=True)
class Cascade:
    """Maps of random networks, level by level.

    Attributes:
        shares: Of the layers that were drawn anew at each level, rising to 1. The last level has several
            networks, the others one.
        alike: ``[level][kind][spearman | ssim]`` with the trained network's maps, ``(scan, draw)``.
        lesions: ``[level][kind][score]``, ``(scored scan, draw)``; empty without masks.
    """

    shares: list[float]
    alike: list[dict[str, dict[str, FloatArray]]]
    lesions: list[dict[str, dict[str, FloatArray]]]


def cascade(
    network: Network,
    sample: Sample,
    kinds: MapKinds,
    trained: Pictures,
    indices: IntArray,
    settings: MapScores,
) -> Cascade:
    """Compare the trained network's maps with those of networks that know ever less.

    Args:
        network: Trained.
        sample: The scans.
        kinds: Of map; those computed beforehand are left out.
        trained: Maps of each scan's label.
        indices: Scans with a lesion mask.
        settings: Levels, randomisations and seed.
    """
    levels = shares(settings.levels)
    reference = next(sample.batches()).inputs
    alike, lesions = [], []
    # Whether everything learnt is gone is asked of several networks; the way there is shown by one.
    draws = [1] * (len(levels) - 1) + [settings.randomisations]
    total = sum(draws)
    with tqdm(total=total, desc="random weights", unit="network") as progress:
        for share, count in zip(levels, draws, strict=True):
            similar: list[dict[str, dict[str, FloatArray]]] = []
            scored: list[dict[str, dict[str, FloatArray]]] = []
            for draw in range(count):
                other = randomised(network, share, settings.seed + draw, reference)
                own = _maps_of_labels(other, sample, kinds)
                similar.append(_compare(sample, kinds.computed, trained, own))
                scored.append(score_all(sample, own, kinds.computed, indices))
                progress.update()
            alike.append(_stacked(similar))
            lesions.append(_stacked(scored))
    return Cascade(levels, alike, lesions)


def _maps_of_labels(network: Network, sample: Sample, kinds: MapKinds) -> Pictures:
    parts = MapParts()
    for batch in sample.batches():
        maps, orders = kinds.ordered(network, batch.inputs)
        targets = sample.targets[batch.indices]
        parts.add(of_class(maps, targets), of_class(orders, targets))
    return parts.pictures(sample)


def _compare(
    sample: Sample, kinds: Sequence[str], trained: Pictures, other: Pictures
) -> dict[str, dict[str, FloatArray]]:
    found: dict[str, dict[str, FloatArray]] = {}
    for kind in kinds:
        parts = [
            similarity(trained.coarse(kind, indices), other.coarse(kind, indices))
            for indices in sample.chunks()
        ]
        found[kind] = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return found


def _stacked(draws: Sequence[dict[str, dict[str, FloatArray]]]) -> dict[str, dict[str, FloatArray]]:
    """Draws of ``(scan,)`` by kind and score as ``(scan, draw)``."""
    return {
        kind: {name: np.stack([draw[kind][name] for draw in draws], axis=1) for name in scores}
        for kind, scores in draws[0].items()
    }

"""Run a network over the views of some scans, batch by batch, and keep what it says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from scanlens.models.classifier import Classifier
from scanlens.models.ensemble import Ensemble, Network
from scanlens.models.predict import to_input
from scanlens.preprocess.store import Store
from scanlens.shortcuts.regions import coverage
from scanlens.shortcuts.views import VIEWS, Masker, coarse_parts, parts_of
from scanlens.types import FloatArray, ImageArray


@dataclass(frozen=True)
class Answers:
    """What came of some scans.

    Attributes:
        logits: Of each view, ``{name: (scan, class)}``.
        features: Of the scans as they are, averaged over cells, ``(scan, feature)``.
        outside: Share of each cell of the maps' grid that is outside of the body, ``(scan, *grid)``.
        marks: Share of each cell that a mark covers, ``(scan, *grid)``.
        bodies: Whether a body was found, ``(scan,)``.
        examples: Scans as they are (``""``) and their views, ``{position: {name: (channel, *spatial)}}``.
    """

    logits: dict[str, FloatArray]
    features: FloatArray
    outside: FloatArray
    marks: FloatArray
    bodies: npt.NDArray[np.bool_]
    examples: dict[int, dict[str, ImageArray]] = field(default_factory=dict)


def ask(
    network: Network,
    store: Store,
    rows: npt.NDArray[np.int64],
    others: npt.NDArray[np.int64],
    statistics: dict[str, object],
    masker: Masker,
    grid: tuple[int, ...],
    pictured: set[int],
    batch_size: int,
    device: str,
) -> Answers:
    """Show every view of every scan to the network.

    Args:
        network: Put into evaluation mode and moved.
        store: The scans.
        rows: Their rows, at least one.
        others: Row of another patient's scan for each.
        statistics: The network's own.
        masker: Makes the views.
        grid: Of the maps.
        pictured: Positions in ``rows`` whose views are kept for a picture.
        batch_size: Scans a forward pass.
        device: ``cpu`` or ``cuda``.
    """
    # TF32 would change probabilities in the fourth digit between machines.
    torch.backends.cudnn.allow_tf32 = False
    network = network.to(device).eval()
    logits: dict[str, list[FloatArray]] = {name: [] for name in VIEWS}
    features, outside, marks, bodies, examples = [], [], [], [], {}
    with tqdm(total=len(rows), desc="shortcuts", unit="scan") as progress, torch.inference_mode():
        for start in range(0, len(rows), batch_size):
            images = store.read(rows[start : start + batch_size])
            foreign = store.read(others[start : start + batch_size])
            parts = [parts_of(image) for image in images]
            outer, marked = coarse_parts(parts, store.shape[1:])
            outside.append(coverage(outer, grid))
            marks.append(coverage(marked, grid))
            bodies += [one.body is not None for one in parts]
            features.append(_features(network, to_input(images, statistics, device)))
            kept = [index for index in range(len(images)) if start + index in pictured]
            for index in kept:
                examples[start + index] = {"": images[index].copy()}
            for name in VIEWS:
                seen = np.stack(
                    [masker.view(name, *each) for each in zip(images, parts, foreign, strict=True)]
                )
                logits[name].append(network.logits(to_input(seen, statistics, device)).float().cpu().numpy())
                for index in kept:
                    examples[start + index][name] = seen[index].copy()
            progress.update(len(images))
    return Answers(
        {name: np.concatenate(batches) for name, batches in logits.items()},
        np.concatenate(features),
        np.concatenate(outside),
        np.concatenate(marks),
        np.array(bodies),
        examples,
    )


def _features(network: Network, scans: torch.Tensor) -> FloatArray:
    """Features averaged over cells, those of all members beside one another."""
    means = [member.features(scans).float().flatten(2).mean(2) for member in _members(network)]
    return torch.cat(means, dim=1).cpu().numpy()


def _members(network: Network) -> Iterator[Classifier]:
    if isinstance(network, Ensemble):
        yield from network.networks()
    else:
        yield network

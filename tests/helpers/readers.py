"""Scans whose label shows in a corner and in the middle, and networks that read one of the two."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from scanlens.atomic import write_json
from scanlens.evaluation.predictions import build_predictions
from scanlens.maps.probability import probability_maps
from scanlens.models.classifier import Classifier
from scanlens.models.predict import local_logits
from scanlens.preprocess.statistics import training_statistics
from scanlens.preprocess.store import Store, StoreWriter

EIGHTH = 8
"""The corner that tells the label has this part of each side; the middle one twice as much."""


def planted_store(
    folder: Path,
    *,
    spatial: Sequence[int] = (32, 32),
    channels: int = 1,
    labels: Sequence[str] = ("well", "ill"),
    patients: int = 24,
    site: str = "",
    seed: int = 0,
) -> Store:
    """Noise around 0.4; the later the label, the brighter one corner and the middle.

    Args:
        folder: Receives the store.
        spatial: ``([depth,] height, width)``.
        channels: All alike but for their noise.
        labels: Classes.
        patients: Test patients a class, one scan each; a third as many for training.
        site: ``label`` gives every class a site of its own, ``even`` deals three to all, empty leaves it out.
        seed: Of the noise.
    """
    rng = np.random.default_rng(seed)
    rows = [
        (label, split)
        for label in labels
        for split in ["test"] * patients + ["train"] * max(2, patients // 3)
    ]
    rows = [rows[place] for place in rng.permutation(len(rows))]
    index = pd.DataFrame(rows, columns=["label", "split"])
    index["scan_id"] = [f"{number:016x}" for number in range(len(rows))]
    index["patient"] = [f"p{number}" for number in range(len(rows))]
    index["path"] = ""
    index["site"] = {
        "": "",
        "label": "site of " + index["label"],
        "even": pd.Series(["north", "south", "east"])[np.arange(len(rows)) % 3].to_numpy(),
    }[site]
    with StoreWriter(folder, (channels, *spatial), list(labels), 16) as writer:
        for label, _ in rows:
            image = rng.normal(0.4, 0.05, (channels, *spatial))
            level = 0.3 * labels.index(label) / (len(labels) - 1) + rng.normal(0, 0.03)
            for region in (corner(spatial), middle(spatial)):
                image[(slice(None), *region)] += level
            writer.append(np.clip(image, 0, 1).astype(np.float32))
        writer.close(index)
    store = Store.open(folder)
    write_json(folder / "statistics.json", training_statistics(store))
    return store


def corner(spatial: Sequence[int]) -> tuple[slice, ...]:
    """The first eighth of each side; of volumes at every depth."""
    return (*[slice(None)] * (len(spatial) - 2), *(slice(0, side // EIGHTH) for side in spatial[-2:]))


def middle(spatial: Sequence[int]) -> tuple[slice, ...]:
    """The middle quarter of each side."""
    return tuple(slice(3 * side // EIGHTH, 5 * side // EIGHTH) for side in spatial)


class _Reader(nn.Module):
    def __init__(self, spatial: Sequence[int], region: tuple[slice, ...] | None) -> None:
        super().__init__()
        seen = torch.zeros(tuple(spatial))
        if region is not None:
            seen[region] = 1
            seen = seen / seen.mean()
        self.register_buffer("seen", seen)
        pool = nn.AdaptiveAvgPool3d if len(spatial) == 3 else nn.AdaptiveAvgPool2d
        self.pool: nn.Module = pool(tuple(4 for _ in spatial))

    def forward(self, scans: Tensor) -> Tensor:
        maps: Tensor = self.pool(scans.mean(1, keepdim=True) * self.seen)
        return maps


def reader(spatial: Sequence[int], region: tuple[slice, ...] | None, classes: int = 2) -> Classifier:
    """A network whose logits grow with the brightness of a region alone; without one they are constant."""
    network = Classifier(_Reader(spatial, region), features=1, classes=classes, dropout=0.0)
    steps = torch.linspace(-1, 1, classes)
    with torch.no_grad():
        # The middle class of several is likeliest between the others.
        network.head.weight.copy_(4 * steps[:, None])
        network.head.bias.copy_(-2 * steps**2)
    return network.eval()


def judged(network: Classifier, store: Store) -> tuple[pd.DataFrame, np.ndarray]:
    """Predictions of the test scans, and their maps, as the stages before would hand them over."""
    rows = store.rows("test")
    batches = list(local_logits(network, store, rows, store.statistics, 16, "cpu"))
    index = store.index.iloc[rows].reset_index(drop=True)
    logits = np.concatenate([batch.logits for batch in batches])
    maps = np.concatenate([probability_maps(batch.local) for batch in batches])
    return build_predictions(logits, index, store.labels, 1.0), maps.astype(np.float16)

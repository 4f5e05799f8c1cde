"""Networks whose evidence is known, and scans for them: what scores must say of their maps is known too."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.ndimage import gaussian_filter

from scanlens.map_scores.sample import Sample
from scanlens.models.classifier import Classifier
from scanlens.preprocess.store import Store, StoreWriter

LABELS = ["clear", "lesion"]
STATISTICS = {"mean": [0.25], "std": [0.25]}
SIDE, LESION = 32, 8


@dataclass
class Planted:
    """Scans with a square lesion each, or none, their masks, and the truth as predictions."""

    store: Store
    predictions: pd.DataFrame
    masks: dict[str, np.ndarray]

    @property
    def rows(self) -> np.ndarray:
        return self.store.rows("test")

    def sample(self, batch_size: int = 5, seed: int = 0, rows: np.ndarray | None = None) -> Sample:
        """All test scans, ready to be scored."""
        return Sample(
            self.store,
            self.rows if rows is None else rows,
            self.predictions,
            STATISTICS,
            self.masks.get,
            batch_size=batch_size,
            device="cpu",
            seed=seed,
        )


def plant(
    folder: Path,
    *,
    scans: int = 16,
    level: float = 0.9,
    others: tuple[float, float] = (0.0, 0.6),
    dims: int = 2,
    soft: float = 1.0,
) -> Planted:
    """Stripes with sharp edges and noise; in every other scan a square of even brightness.

    Args:
        folder: Receives the store.
        scans: Number of test scans; two a patient.
        level: Brightness of the lesion.
        others: Brightness of the stripes.
        dims: 2 or 3.
        soft: Width of the square's rims in pixels; sharp ones would give it away to an edge map.
    """
    rng = np.random.default_rng(3)
    spatial = (SIDE,) * dims if dims == 2 else (12, 16, 16)
    index = pd.DataFrame(
        {
            "scan_id": [f"{row:016x}" for row in range(scans)],
            "label": [LABELS[row % 2] for row in range(scans)],
            "split": "test",
            "patient": [f"p{row // 2}" for row in range(scans)],
            "site": "",
            "path": "",
        }
    )
    masks = {}
    with StoreWriter(folder, (1, *spatial), LABELS, shard_rows=5) as writer:
        for scan_id, label in zip(index["scan_id"], index["label"], strict=True):
            stripes = rng.choice(others, size=(*spatial[:-1], spatial[-1] // 4)).repeat(4, axis=-1)
            image = np.clip(stripes + rng.normal(0, 0.02, spatial), 0, 1)
            if label == "lesion":
                size = LESION if dims == 2 else LESION - 2
                corner = rng.integers(2, np.array(spatial) - size - 1)
                mask = np.zeros(spatial, bool)
                mask[tuple(slice(start, start + size) for start in corner)] = True
                inside = gaussian_filter(mask.astype(float), soft)
                image = np.clip(image + inside * (level + rng.normal(0, 0.02, spatial) - image), 0, 1)
                masks[scan_id] = mask
            writer.append(image[None].astype(np.float32))
        writer.close(index)
    return Planted(Store.open(folder), index.assign(predicted=index["label"]), masks)


def bright_network(dims: int = 2) -> Classifier:
    """Says "lesion" of what is brighter than 0.75, pixel by pixel: its maps are the truth."""
    network = _pixelwise(dims, [1.0], [-2.0])
    with torch.no_grad():
        network.head.weight[1, 0], network.head.bias[1] = 400.0, -6.0
    return network


def level_network() -> Classifier:
    """Says "lesion" of what is between 0.45 and 0.55 bright, and of nothing darker or brighter."""
    # In units of the input 0.5 is 1.
    network = _pixelwise(2, [1.0, 1.0, 1.0], [-0.8, -1.0, -1.2])
    with torch.no_grad():
        network.head.weight[1] = 2000.0 * torch.tensor([1.0, -2.0, 1.0])
        network.head.bias[1] = -6.0
    return network


def _pixelwise(dims: int, weights: list[float], biases: list[float]) -> Classifier:
    layer: torch.nn.Conv2d | torch.nn.Conv3d
    layer = (torch.nn.Conv2d if dims == 2 else torch.nn.Conv3d)(1, len(weights), 1)
    network = Classifier(torch.nn.Sequential(layer, torch.nn.ReLU()), len(weights), 2, 0.0).eval()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weights).reshape(layer.weight.shape))
        layer.bias.copy_(torch.tensor(biases))
        network.head.weight.zero_()
        network.head.bias.zero_()
    return network

"""A tiny test split with a known lesion, as the stages after evaluation meet it, and a browser."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

from scanlens.models.predict import Local
from scanlens.preprocess.store import Rows, Store, StoreWriter
from scanlens.types import ImageArray
from tests.helpers.galleries import Browser, chromium

LABELS = ["normal", "<script>alert(1)</script>", "nodule"]


class WatchedStore(Store):
    """A store that notes the rows it was asked for."""

    def read(self, rows: Rows) -> ImageArray:
        self.reads = [*getattr(self, "reads", []), *(int(row) for row in rows)]
        return super().read(rows)


@dataclass
class Case:
    """A store, its local logits for every row, predictions of its test rows, and masks by scan_id."""

    store: WatchedStore
    local: np.ndarray
    predictions: pd.DataFrame
    masks: dict[str, np.ndarray]

    rest = np.array([[0.1, -0.2, 0.3]], np.float32)
    """Biases of the linear head."""

    @property
    def cams(self) -> np.ndarray:
        """After average pooling, for every row."""
        bias = self.rest.reshape(1, -1, *[1] * (self.local.ndim - 2))
        return (self.local - bias) / self.local[0, 0].size

    def batches(self, size: int = 4):
        rows = self.store.rows("test")
        for start in range(0, len(rows), size):
            chosen = rows[start : start + size]
            local = self.local[chosen]
            logits = local.reshape(*local.shape[:2], -1).mean(-1)
            yield Local(chosen, logits, local, self.rest.repeat(len(chosen), 0), self.cams[chosen])


def make_case(
    folder: Path, spatial: tuple[int, ...], grid: tuple[int, ...], scans: int, channels: int = 1
) -> Case:
    """Scans whose label 2 has a lesion in the last place of the grid, where its local logits peak."""
    rng = np.random.default_rng(5)
    targets = np.arange(scans) % len(LABELS)
    images = rng.random((scans, channels, *spatial), dtype=np.float32)
    local = rng.normal(0, 0.5, (scans, len(LABELS), *grid)).astype(np.float32)
    corner = tuple([-1] * len(grid))
    masks = {}
    index = pd.DataFrame(
        {
            "scan_id": [f"{row:016x}" for row in range(scans)],
            "label": [LABELS[target] for target in targets],
            "split": ["train", *["test"] * (scans - 1)],
            "patient": "p1",
            "site": "",
            "path": "",
        }
    )
    with StoreWriter(folder, images.shape[1:], LABELS, shard_rows=5) as writer:
        for image in images:
            writer.append(image)
        writer.close(index)
    for row in np.flatnonzero(targets == 2):
        local[(row, 2, *corner)] += 8
        mask = np.zeros(spatial, bool)
        mask[tuple(slice(-(size // place), None) for size, place in zip(spatial, grid, strict=True))] = True
        masks[index["scan_id"][row]] = mask
    logits = local.reshape(scans, len(LABELS), -1).mean(-1, dtype=np.float64)
    probabilities = softmax(logits / 1.5, axis=1)
    entropy = -(probabilities * np.log(probabilities)).sum(1) / np.log(len(LABELS))
    predictions = index.assign(
        predicted=[LABELS[best] for best in probabilities.argmax(1)],
        **{f"logit_{label}": logits[:, c] for c, label in enumerate(LABELS)},
        **{f"probability_{label}": probabilities[:, c] for c, label in enumerate(LABELS)},
        uncertainty=entropy,
    )
    predictions = predictions[predictions["split"] == "test"].sample(frac=1, random_state=1)
    return Case(WatchedStore.open(folder), local, predictions, masks)


@pytest.fixture
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Images."""
    return make_case(tmp_path_factory.mktemp("store"), (32, 24), (4, 3), scans=14)


@pytest.fixture
def volume_case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Volumes of 12 slices whose lesion lies in the last ones."""
    return make_case(tmp_path_factory.mktemp("store"), (12, 16, 16), (3, 2, 2), scans=8)


@pytest.fixture
def slices_case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Five neighbouring slices of a volume as the channels of an image."""
    return make_case(tmp_path_factory.mktemp("store"), (32, 24), (4, 3), scans=8, channels=5)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Headless Chromium."""
    with chromium() as started:
        yield started

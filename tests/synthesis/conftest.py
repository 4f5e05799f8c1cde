"""Small stores with two classes a person could tell apart, and settings that run in a second."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scanlens.config.schema import Synthesis
from scanlens.preprocess.store import Store, StoreWriter

MakeStore = Callable[..., Store]


@pytest.fixture
def config() -> Synthesis:
    return Synthesis(
        generator="cgan",
        max_side=16,
        latent=4,
        width=4,
        steps=3,
        batch_size=4,
        lr=2e-4,
        scans_per_class=5,
        seed=3,
    )


@pytest.fixture
def make_store(tmp_path: Path) -> MakeStore:
    """Function of shape, labels, train scans a class: dark and bright scans with a random disc."""

    def make(
        shape: tuple[int, ...] = (1, 20, 16),
        labels: tuple[str, ...] = ("dark", "Bright 2!"),
        scans: int = 12,
        folder: str = "store",
    ) -> Store:
        random = np.random.default_rng(0)
        rows = [(label, "train") for label in labels for _ in range(scans)]
        rows += [(label, split) for label in labels for split in ("val", "test")]
        index = pd.DataFrame(rows, columns=["label", "split"])
        index["scan_id"] = [f"{number:016x}" for number in range(len(rows))]
        index["patient"], index["site"], index["path"] = "p", "north", ""
        axes = np.meshgrid(*[np.linspace(-1, 1, side) for side in shape[1:]], indexing="ij")
        with StoreWriter(tmp_path / folder, shape, list(labels), 8) as writer:
            for label, split in rows:
                level = 0.3 + 0.4 * labels.index(label) / max(1, len(labels) - 1)
                centre = random.uniform(-0.4, 0.4, len(axes))
                far = sum((axis - place) ** 2 for axis, place in zip(axes, centre, strict=True))
                scan = level + 0.2 * np.exp(-4 * far) if split == "train" else np.ones(shape[1:])
                writer.append(np.stack([scan] * shape[0]).astype(np.float32))
            writer.close(index)
        return Store.open(tmp_path / folder)

    return make

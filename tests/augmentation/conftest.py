"""A policy that changes everything, and small stores with classes of known sizes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scanlens.config.schema import Policy
from scanlens.preprocess.store import Store, StoreWriter

MakeStore = Callable[..., Store]


@pytest.fixture
def policy() -> Policy:
    return Policy(
        rotate_deg=15,
        translate=0.1,
        scale=0.1,
        brightness=0.2,
        contrast=0.2,
        gamma=0.3,
        noise=0.05,
        blur=1.0,
        horizontal_flip=0.5,
    )


@pytest.fixture
def no_policy() -> Policy:
    return Policy(0, 0, 0, 0, 0, 0, 0, 0, 0)


@pytest.fixture
def make_store(tmp_path: Path) -> MakeStore:
    """Function of scans a class (train), shape: a store with two val and two test scans besides."""

    def make(counts: dict[str, int], shape: tuple[int, ...] = (1, 16, 16)) -> Store:
        random = np.random.default_rng(0)
        labels = list(counts)
        rows = [(label, "train") for label, count in counts.items() for _ in range(count)]
        rows += [(label, split) for label in labels for split in ("val", "test")]
        index = pd.DataFrame(rows, columns=["label", "split"])
        index["scan_id"] = [f"{number:016x}" for number in range(len(rows))]
        index["patient"] = [f"p{number // 2:016x}" for number in range(len(rows))]
        index["site"] = ["north" if number % 2 else "south" for number in range(len(rows))]
        index["path"] = [f"{number}.png" for number in range(len(rows))]
        with StoreWriter(tmp_path / "store", shape, labels, 8) as writer:
            for _ in rows:
                writer.append(random.random(shape, dtype=np.float32))
            writer.close(index)
        return Store.open(tmp_path / "store")

    return make

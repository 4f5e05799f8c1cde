"""Settings and tiny stores with known truth."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from scanlens.config.schema import Preprocess
from scanlens.preprocess.store import StoreWriter
from tests.helpers.tiny import preprocess_section


@pytest.fixture
def preprocess_config() -> Callable[..., Preprocess]:
    """Make the preprocess section; keywords replace the defaults."""

    return preprocess_section


@pytest.fixture
def write_store() -> Callable[..., np.ndarray]:
    """Write a store of random rows into a folder and return the rows, float32 in [0, 1]."""

    def make(folder: Path, rows: int = 10, shape: tuple[int, ...] = (2, 3, 5), shard_rows: int = 4) -> Any:
        images = np.random.default_rng(0).random((rows, *shape), dtype=np.float32)
        number = np.arange(rows)
        index = pd.DataFrame(
            {
                "scan_id": [f"id{row}" for row in number],
                "patient": [f"p{row // 2}" for row in number],
                "label": np.array(["b", "a"])[number % 2],
                "split": np.array(["train", "val", "train", "test", "train"])[number % 5],
                "site": "",
                "path": [f"{row}.png" for row in number],
            },
            index=number[::-1],
        )
        with StoreWriter(folder, shape, ["a", "b"], shard_rows) as writer:
            for image in images:
                writer.append(image)
            writer.close(index)
        return images

    return make

"""A tiny store, its batches, and a fit of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from scanlens.models.classifier import Classifier
from scanlens.models.registry import build, resolve_model
from scanlens.preprocess.store import Store
from scanlens.scaling.device import Machine
from scanlens.training.callbacks import EpochHook
from scanlens.training.datamodule import Part, ScanBatches
from scanlens.training.fit import fit
from scanlens.training.recipe import Recipe
from tests.helpers.tiny import model, write_store

CPU = Machine("cpu", "32", 1, 4)
Fit = Callable[..., tuple[Classifier, pd.DataFrame]]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Eight training scans a class; classes that overlap, so that no epoch is perfect."""
    return write_store(tmp_path / "store", train=8, other=4, noise=0.4)


@pytest.fixture
def batches(store: Store) -> Callable[..., ScanBatches]:
    """Batches of a split."""

    def make(split: str, policy: Any = None) -> ScanBatches:
        return ScanBatches([Part(store, store.rows(split))], store.statistics, policy)

    return make


@pytest.fixture
def run_fit(store: Store, batches: Callable[..., ScanBatches], tmp_path: Path) -> Fit:
    """Fit a fresh network; keywords change the recipe. ``opposed`` validation gets worse with each epoch."""

    def make(
        folder: str = "checkpoints",
        listener: EpochHook | None = None,
        opposed: bool = False,
        network: dict[str, Any] | None = None,
        **changes: Any,
    ) -> tuple[Classifier, pd.DataFrame]:
        default = {
            "epochs": 4,
            "batch_size": 4,
            "lr": 0.02,
            "weight_decay": 0.01,
            "epoch_scans": 0,
            "seed": 3,
        }
        built = build(resolve_model(model(**{"dropout": 0.3, **(network or {})}), store.shape, 2), 1)
        recipe = Recipe(**{**default, **changes})
        val = batches("val")
        if opposed:
            val.targets = 1 - val.targets
        table, _ = fit(built, batches("train"), val, recipe, CPU, tmp_path / folder, listener)
        return built, table

    return make

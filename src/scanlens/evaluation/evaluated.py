"""What the stages after evaluation work on: the trained classifier, its scans, and what was said of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from scanlens.evaluation.calibration import read_temperature
from scanlens.models.ensemble import Network
from scanlens.models.saved import load_model
from scanlens.preprocess.store import Store


@dataclass(frozen=True)
class Evaluated:
    """A classifier that was evaluated.

    Attributes:
        store: The preprocessed scans.
        folder: The store's folder.
        root: Of the raw data; scans and masks are read again where their geometry is needed.
        network: Trained.
        statistics: That its input is standardised with.
        scale: Mean and standard deviation of the training labels; used for task ``regression``.
        predictions: Evaluation's table.
        temperature: The calibration's; 1 for task ``regression``, which has none.
        weights_sha256: Of the network, by which its tracked run is found.
    """

    store: Store
    folder: Path
    root: Path
    network: Network
    statistics: dict[str, Any]
    scale: tuple[float, float]
    predictions: pd.DataFrame
    temperature: float
    weights_sha256: str = ""


def read_evaluated(preprocessed: Path, root: Path, trained: Path, reports: Path) -> Evaluated:
    """Read it from the outputs of the stages before.

    Args:
        preprocessed: The store's folder.
        root: Of the raw data.
        trained: Folder of stage ensemble.
        reports: Holds ``predictions.parquet`` and ``calibration.json``.
    """
    store = Store.open(preprocessed)
    network, model = load_model(trained)
    return Evaluated(
        store=store,
        folder=preprocessed,
        root=root,
        network=network,
        statistics=model["statistics"],
        scale=(model["architecture"]["centre"], model["architecture"]["spread"]),
        predictions=pd.read_parquet(reports / "predictions.parquet"),
        temperature=read_temperature(reports / "calibration.json") if store.task.has_classes else 1.0,
        weights_sha256=model["weights_sha256"],
    )

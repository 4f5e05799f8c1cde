"""What the stages after evaluation read: of classes with a temperature, of numbers without."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from scanlens.evaluation.evaluated import read_evaluated
from scanlens.models.registry import build, resolve_model
from scanlens.models.saved import save_model
from scanlens.preprocess.store import Store
from tests.helpers.tiny import model, write_store


@pytest.mark.parametrize(("task", "temperature"), [("binary", 1.5), ("regression", 1.0)])
def test_a_classifier_is_read_with_its_scans_and_predictions(
    tmp_path: Path, task: str, temperature: float
) -> None:
    write_store(tmp_path / "store")
    path = tmp_path / "store" / "store.json"
    description = {**json.loads(path.read_text()), "task": task}
    if task == "regression":
        description["labels"] = ["age"]
        index = pd.read_parquet(path.with_name("index.parquet"))
        index.assign(label=[f"{row}.5" for row in range(len(index))]).to_parquet(
            path.with_name("index.parquet")
        )
    path.write_text(json.dumps(description))
    store = Store.open(tmp_path / "store")
    architecture = resolve_model(model(), store.shape, 1 if task == "regression" else 2, task)
    digest = save_model(
        tmp_path / "trained", build(architecture, 1), architecture, store.labels, store.statistics, {}
    )
    reports = tmp_path / "reports"
    reports.mkdir()
    table = pd.DataFrame({"scan_id": ["a"]})
    table.to_parquet(reports / "predictions.parquet")
    if task != "regression":
        (reports / "calibration.json").write_text(json.dumps({"method": "temperature", "temperature": 1.5}))
    found = read_evaluated(tmp_path / "store", tmp_path, tmp_path / "trained", reports)
    assert found.temperature == temperature
    assert found.weights_sha256 == digest
    assert found.predictions.equals(table)
    assert found.store.shape == store.shape
    assert found.root == tmp_path

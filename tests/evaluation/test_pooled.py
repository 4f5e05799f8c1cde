"""Pooled folds are scored as one split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, roc_auc_score

from scanlens.errors import SettingsError
from scanlens.evaluation.pooled import pool, pooled_text


@pytest.fixture
def tables(tmp_path: Path) -> list[Path]:
    """Three runs of 20 test and 5 validation scans."""
    rng = np.random.default_rng(0)
    paths = []
    for run in range(3):
        labels = np.array(["a", "b"])[rng.integers(0, 2, 25)]
        positive = np.clip(rng.normal(0.4 + 0.2 * (labels == "b"), 0.2), 0.01, 0.99)
        table = pd.DataFrame(
            {
                "scan_id": [f"{run}-{number}" for number in range(25)],
                "patient": [f"{run}-{number // 2}" for number in range(25)],
                "split": ["test"] * 20 + ["val"] * 5,
                "label": labels,
                "probability_a": 1 - positive,
                "probability_b": positive,
            }
        )
        paths.append(tmp_path / f"{run}.parquet")
        table.to_parquet(paths[-1])
    return paths


def test_metrics_are_those_of_all_test_scans(tables: list[Path]) -> None:
    facts = pool(tables, resamples=50)
    each = [pd.read_parquet(path).query("split == 'test'") for path in tables]
    scans = pd.concat(each)
    assert facts["scans"] == 60
    assert facts["patients"] == 30
    auc = facts["pooled"]["auc_macro"]
    assert auc["value"] == pytest.approx(roc_auc_score(scans["label"] == "b", scans["probability_b"]))
    assert auc["low"] < auc["value"] < auc["high"]
    expected = [accuracy_score(one["label"] == "b", one["probability_b"] > 0.5) for one in each]
    assert facts["folds"]["accuracy"] == pytest.approx(expected)
    assert "60 test scans of 30 patients in 3 runs" in pooled_text(facts)


def test_a_scan_tested_twice_is_refused(tables: list[Path]) -> None:
    with pytest.raises(SettingsError, match="20 scans were tested by more than one run"):
        pool([tables[0], tables[0]])


def test_what_does_not_fit_is_refused(tables: list[Path], tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no predictions here"):
        pool([tmp_path / "none.parquet"])
    other = pd.read_parquet(tables[1]).rename(columns={"probability_b": "probability_c"})
    other.to_parquet(tables[1])
    with pytest.raises(SettingsError, match="classes are not those"):
        pool(tables)

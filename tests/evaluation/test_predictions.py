"""The predictions table and what it refuses."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy.stats import entropy

from scanlens.errors import ScanlensError
from scanlens.evaluation.predictions import build_predictions, targets_of
from scanlens.evaluation.uncertainty import uncertainty

LABELS = ["normal", "nodule", "opacity"]
Change = Callable[[np.ndarray, pd.DataFrame], tuple[np.ndarray, pd.DataFrame]]


def test_columns_and_values(make_case: Callable) -> None:
    logits, index = make_case(30, LABELS)
    index.loc[2, "site"] = None
    table = build_predictions(logits, index, LABELS, 2.0)
    assert list(table.columns) == (
        ["scan_id", "patient", "split", "site", "label", "predicted"]
        + [f"logit_{label}" for label in LABELS]
        + [f"probability_{label}" for label in LABELS]
        + ["uncertainty"]
    )
    assert table["site"][2] == ""
    assert list(table["scan_id"]) == list(index["scan_id"])
    probabilities = table[[f"probability_{label}" for label in LABELS]].to_numpy()
    expected = np.exp(logits.astype(float) / 2.0)
    np.testing.assert_allclose(probabilities, expected / expected.sum(axis=1, keepdims=True), rtol=1e-9)
    np.testing.assert_allclose(table["uncertainty"], entropy(probabilities, axis=1, base=3), rtol=1e-9)
    assert list(table["predicted"]) == [LABELS[k] for k in logits.argmax(axis=1)]
    assert list(targets_of(index, LABELS)) == [LABELS.index(label) for label in index["label"]]


def test_uncertainty_ends() -> None:
    np.testing.assert_allclose(uncertainty(np.array([[1.0, 0.0], [0.5, 0.5]])), [0.0, 1.0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda z, i: (z[:-1], i), "shape"),
        (lambda z, i: (z[:, :2], i), "shape"),
        (lambda z, i: (z, i.drop(columns=["site", "label"])), "site, label"),
        (lambda z, i: (z, i.assign(label="cyst")), "cyst"),
        (lambda z, i: (z, i.assign(split="holdout")), "holdout"),
        (lambda z, i: (z, i.assign(scan_id="same")), "in the index twice"),
        (lambda z, i: (z[:0], i[:0]), "no scan"),
        (lambda z, i: (np.where(np.arange(len(z))[:, None] == 4, np.nan, z), i), "1 of 30"),
        (lambda z, i: (np.where(z > 0, np.inf, z), i), "infinite"),
    ],
)
def test_what_does_not_fit_is_refused(make_case: Callable, change: Change, message: str) -> None:
    logits, index = change(*make_case(30, LABELS))
    with pytest.raises(ScanlensError, match=message):
        build_predictions(logits, index, LABELS, 1.0)


def test_labels_must_be_distinct(make_case: Callable) -> None:
    logits, index = make_case(30, LABELS)
    with pytest.raises(ScanlensError, match="distinct"):
        build_predictions(logits, index, ["normal", "normal", "nodule"], 1.0)

"""The curves behind the pictures are scikit-learn's, and count every scan."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import roc_curve

from scanlens.evaluation.plots import confusion_table, reliability_table, roc_table


@pytest.fixture
def case() -> tuple[np.ndarray, np.ndarray]:
    """Probabilities ``(60, 3)`` and targets."""
    generator = np.random.default_rng(2)
    return generator.dirichlet([1, 1, 1], 60), generator.integers(0, 3, 60)


def test_each_class_has_its_curve_against_the_rest(case: tuple[np.ndarray, np.ndarray]) -> None:
    probabilities, targets = case
    table = roc_table(probabilities, targets, ["a", "b", "c"])
    for k, (_, curve) in enumerate(table.groupby("class")):
        fpr, tpr, _ = roc_curve(targets == k, probabilities[:, k])
        assert np.array_equal(curve[["fpr", "tpr"]], np.stack([fpr, tpr], 1))


def test_two_classes_share_the_positive_ones_curve(case: tuple[np.ndarray, np.ndarray]) -> None:
    positive = case[0][:, 0]
    table = roc_table(np.stack([1 - positive, positive], 1), (case[1] == 0).astype(int), ["no", "yes"], "yes")
    assert set(table["class"]) == {"yes"}
    assert np.array_equal(table["tpr"], roc_curve(case[1] == 0, positive)[1])


def test_a_class_that_is_absent_or_alone_has_no_curve(case: tuple[np.ndarray, np.ndarray]) -> None:
    probabilities, targets = case
    assert set(roc_table(probabilities, np.where(targets == 1, 0, targets), ["a", "b", "c"])["class"]) == {
        "a",
        "c",
    }
    nothing = roc_table(probabilities, np.zeros(60, int), ["a", "b", "c"])
    assert nothing.empty
    assert nothing.columns.tolist() == ["class", "fpr", "tpr"]


def test_confusion_keeps_one_row_a_scan_in_order() -> None:
    table = confusion_table(pd.DataFrame({"label": ["a", "b"], "predicted": ["b", "b"], "split": "test"}))
    assert table.to_dict("list") == {"actual": ["a", "b"], "predicted": ["b", "b"]}


def test_bins_are_scikit_learns_and_none_is_empty(case: tuple[np.ndarray, np.ndarray]) -> None:
    before, targets = case
    after = before**2 / (before**2).sum(1, keepdims=True)
    table = reliability_table(before, after, targets)
    for name, probabilities in (("before", before), ("after", after)):
        bins = table[table["calibration"] == name]
        right, confidence = probabilities.argmax(1) == targets, probabilities.max(1)
        accuracy, mean = calibration_curve(right, confidence, n_bins=15)
        assert np.allclose(bins["accuracy"], accuracy)
        assert np.allclose(bins["confidence"], mean)
        assert bins["scans"].sum() == 60
        assert (bins["scans"] > 0).all()
        assert bins["confidence"].between(bins["low"], bins["high"]).all()

"""How members differ, by hand and by scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, roc_auc_score

from scanlens.evaluation.members import spread_over_members


def test_each_member_is_measured_on_its_own_fold() -> None:
    generator = np.random.default_rng(0)
    probabilities, targets = generator.dirichlet([1, 1], 90), generator.integers(0, 2, 90)
    members = np.repeat([3, 0, 7], [20, 30, 40])
    found = spread_over_members(probabilities, targets, members)
    assert found["count"] == 3
    assert found["scans"] == [30, 20, 40], "by number"
    folds = [members == number for number in (0, 3, 7)]
    for name, values in (
        ("accuracy", [accuracy_score(targets[f], probabilities[f].argmax(1)) for f in folds]),
        ("auc_macro", [roc_auc_score(targets[f], probabilities[f, 1]) for f in folds]),
    ):
        part = found["spread"][name]
        assert part["values"] == pytest.approx(values)
        assert part["mean"] == pytest.approx(np.mean(values))
        assert part["std"] == pytest.approx(np.std(values, ddof=1))
        assert (part["low"], part["high"]) == (min(part["values"]), max(part["values"]))


def test_a_fold_that_does_not_define_a_metric_is_left_out() -> None:
    probabilities = np.array([[0.8, 0.2], [0.3, 0.7], [0.6, 0.4], [0.9, 0.1]])
    found = spread_over_members(probabilities, np.array([0, 1, 0, 0]), np.array([0, 0, 1, 1]))["spread"]
    assert found["auc_macro"] == {"values": [1.0, None], "mean": 1.0, "std": None, "low": 1.0, "high": 1.0}
    alone = spread_over_members(probabilities[2:], np.array([0, 0]), np.array([1, 1]))["spread"]
    assert alone["auc_macro"] == {"values": [None], "mean": None, "std": None, "low": None, "high": None}

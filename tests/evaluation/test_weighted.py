"""Weighted metrics against scikit-learn on really repeated scans."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from scanlens.evaluation.metrics import all_metrics
from scanlens.evaluation.weighted import weighted_auc, weighted_metrics


def case(classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities with ties, and targets."""
    generator = np.random.default_rng(classes)
    targets = generator.integers(0, classes, 90)
    scores = generator.integers(1, 6, (90, classes)).astype(float)
    scores[np.arange(90), targets] += 1.0
    return scores / scores.sum(axis=1, keepdims=True), targets


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_a_weight_is_a_repetition(classes: int) -> None:
    probabilities, targets = case(classes)
    weights = np.random.default_rng(1).integers(0, 4, (6, 90)).astype(float)
    weights[0] = 1.0
    together = weighted_metrics(probabilities, targets, weights)
    for row, repeats in enumerate(weights.astype(int)):
        alone = all_metrics(np.repeat(probabilities, repeats, axis=0), np.repeat(targets, repeats))
        assert set(alone) == set(together)
        for name, value in alone.items():
            np.testing.assert_allclose(together[name][row], value, rtol=1e-9, atol=1e-12, err_msg=name)


def test_an_absent_class_agrees_too() -> None:
    probabilities, targets = case(4)
    kept = targets != 1
    together = weighted_metrics(probabilities[kept], targets[kept], np.ones((1, kept.sum())))
    for name, value in all_metrics(probabilities[kept], targets[kept]).items():
        np.testing.assert_allclose(together[name][0], value, rtol=1e-9, err_msg=name)


def test_auc_takes_sample_weights_as_scikit_learn_does() -> None:
    generator = np.random.default_rng(2)
    score, positive = generator.integers(0, 9, 70).astype(float), generator.random(70) < 0.4
    weights = generator.random((4, 70))
    expected = [roc_auc_score(positive, score, sample_weight=row) for row in weights]
    np.testing.assert_allclose(weighted_auc(score, positive, weights), expected, rtol=1e-10)


def test_auc_without_a_negative_is_nan() -> None:
    assert np.isnan(weighted_auc(np.arange(3.0), np.ones(3, dtype=bool), np.ones((1, 3)))).all()

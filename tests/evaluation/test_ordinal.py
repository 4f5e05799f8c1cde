from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from scanlens.config.schema import Evaluation
from scanlens.evaluation.ordinal import ORDINAL, ordinal_estimates, ordinal_metrics


@pytest.fixture
def answers() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 4, 80)
    return np.clip(targets + rng.integers(-2, 3, 80), 0, 3), targets


def test_values_are_scikit_learns(answers: tuple[np.ndarray, np.ndarray]) -> None:
    predicted, targets = answers
    found = ordinal_metrics(predicted, targets, 4, np.ones((1, 80)))
    assert found["kappa_quadratic"][0] == pytest.approx(
        cohen_kappa_score(targets, predicted, weights="quadratic")
    )
    assert found["mae_classes"][0] == pytest.approx(np.abs(predicted - targets).mean())
    assert found["within_one"][0] == pytest.approx((np.abs(predicted - targets) <= 1).mean())


def test_a_weight_of_three_is_a_scan_drawn_three_times(answers: tuple[np.ndarray, np.ndarray]) -> None:
    predicted, targets = answers
    counts = np.random.default_rng(1).integers(0, 4, 80)
    found = ordinal_metrics(predicted, targets, 4, counts[None].astype(float))
    drawn = np.repeat(np.arange(80), counts)
    plain = ordinal_metrics(predicted[drawn], targets[drawn], 4, np.ones((1, len(drawn))))
    for name in ORDINAL:
        assert found[name] == pytest.approx(plain[name])


def test_intervals_hold_the_value_and_an_empty_split_says_why(
    answers: tuple[np.ndarray, np.ndarray],
) -> None:
    predicted, targets = answers
    config = Evaluation(bootstrap=200, confidence=0.9, calibration="temperature", seed=0)
    patients = np.array([f"p{number // 2}" for number in range(80)])
    for entry in ordinal_estimates(np.eye(4)[predicted], targets, patients, config).values():
        assert entry.low < entry.value < entry.high
    nothing = ordinal_estimates(np.zeros((0, 4)), targets[:0], patients[:0], config)
    assert all(entry.value is None and entry.reason for entry in nothing.values())


def test_one_class_alone_has_no_kappa() -> None:
    same = np.zeros(5, dtype=np.int64)
    assert np.isnan(ordinal_metrics(same, same, 3, np.ones((1, 5)))["kappa_quadratic"][0])

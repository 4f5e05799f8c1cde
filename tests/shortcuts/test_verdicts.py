from __future__ import annotations

import numpy as np
import pytest

from scanlens.estimate import Estimate
from scanlens.evaluation.intervals import patient_intervals
from scanlens.shortcuts.numbers import auc
from scanlens.shortcuts.verdicts import (
    ProbeVerdict,
    Resampling,
    estimates,
    joined_verdict,
    too_few,
    verdict_of,
)

RNG = np.random.default_rng(0)
TARGETS = np.arange(90) % 3
PATIENTS = np.array([f"p{number // 2}" for number in RNG.permutation(90)], dtype=object)
PROBABILITIES = RNG.dirichlet([1, 1, 1], 90) * 0.6 + 0.4 * np.eye(3)[TARGETS]


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.7, 0.9, "found"),
        (0.5, 0.6, "not found"),
        (0.6, 0.7, "cannot tell"),
        (np.nan, np.nan, "cannot tell"),
    ],
)
def test_an_interval_is_compared_with_the_threshold(low: float, high: float, said: ProbeVerdict) -> None:
    assert verdict_of(Estimate(0.65, low, high), 0.65) == said


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (["found", "found"], "found"),
        (["found", "not found"], "not found"),
        (["cannot tell", "not found"], "not found"),
        (["found", "cannot tell"], "cannot tell"),
    ],
)
def test_two_verdicts_must_both_hold(parts: list[ProbeVerdict], said: ProbeVerdict) -> None:
    assert joined_verdict(parts) == said


def test_intervals_are_those_of_the_evaluation() -> None:
    found = estimates({"auc": auc(PROBABILITIES, TARGETS)}, TARGETS, PATIENTS, Resampling(1, 300, 0.9, 5))[
        "auc"
    ]
    wanted = patient_intervals(PROBABILITIES, TARGETS, PATIENTS, resamples=300, confidence=0.9, seed=5)
    assert (found.low, found.high) == pytest.approx(
        (float(wanted.low["auc_macro"]), float(wanted.high["auc_macro"]))
    )


def test_more_looks_make_wider_intervals() -> None:
    number = {"auc": auc(PROBABILITIES, TARGETS)}
    one, ten = (
        estimates(number, TARGETS, PATIENTS, Resampling(looks, 2000, 0.95, 0))["auc"] for looks in (1, 10)
    )
    assert ten.low < one.low < one.value < one.high < ten.high
    wide = estimates(number, TARGETS, PATIENTS, Resampling(1, 2000, 0.995, 0))["auc"]
    assert (ten.low, ten.high) == pytest.approx((wide.low, wide.high))


def test_one_patient_has_no_interval() -> None:
    alone = estimates(
        {"auc": auc(PROBABILITIES, TARGETS)}, TARGETS, np.array(["p"] * 90, object), Resampling(1, 50, 0.9, 0)
    )
    assert "at least two" in alone["auc"].reason
    assert alone["auc"].low is None


def test_small_splits_are_too_few() -> None:
    assert too_few(TARGETS, PATIENTS) == ""
    assert "only 19" in too_few(TARGETS[:19], np.array([""] * 19, object))
    lone = np.where(np.arange(90) < 3, 1, 0)
    assert "fewer than two classes" in too_few(lone, np.array([""] * 90, object))

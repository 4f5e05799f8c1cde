"""Half width and threshold against exact fractions and plain counting, and the promise on new scans."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

from scanlens.evaluation.conformal import half_width, prediction_sets, set_threshold


@pytest.mark.parametrize("confidence", ["0.29", "0.5", "0.7", "0.8", "0.9", "0.95", "0.99"])
def test_the_place_is_that_of_exact_fractions(confidence: str) -> None:
    """Of residuals 1 to n the width is its own place; floats would round some of them up."""
    rng = np.random.default_rng(0)
    for scans in range(1, 400):
        place = math.ceil((scans + 1) * Fraction(confidence))
        width = half_width(rng.permutation(np.arange(1.0, scans + 1)), float(confidence))
        assert width == (place if place <= scans else None), scans


def test_it_is_the_smallest_residual_that_enough_scans_lie_within() -> None:
    residuals = np.random.default_rng(1).normal(3, 5, 60)
    wanted = 61 * Fraction(9, 10)
    enough = [reach for reach in map(abs, residuals) if sum(abs(r) <= reach for r in residuals) >= wanted]
    assert half_width(residuals, 0.9) == min(enough)


@pytest.mark.parametrize(
    ("confidence", "fewest"), [(0.5, 1), (0.8, 4), (0.9, 9), (0.95, 19), (0.99, 99)], ids=str
)
def test_the_fewest_scans_that_carry_a_confidence_give_the_largest_residual(
    confidence: float, fewest: int
) -> None:
    residuals = np.random.default_rng(2).normal(size=fewest)
    assert half_width(residuals, confidence) == np.abs(residuals).max()
    assert half_width(residuals[1:], confidence) is None


def test_neither_sign_nor_order_counts_and_the_residuals_stay_as_they_are() -> None:
    rng = np.random.default_rng(3)
    residuals = rng.normal(size=50)
    before = residuals.copy()
    width = half_width(residuals, 0.8)
    assert half_width(-rng.permutation(residuals), 0.8) == width
    assert np.array_equal(residuals, before)


def test_more_confidence_is_never_narrower() -> None:
    residuals = np.random.default_rng(4).normal(size=100)
    widths = [half_width(residuals, share / 1000) for share in range(1, 1000)]
    known = [width for width in widths if width is not None]
    assert known == sorted(known)
    assert widths == known + [None] * (len(widths) - len(known)), "none only beyond the last width"


def test_equal_residuals_are_their_own_width() -> None:
    assert half_width(np.array([2.5, -2.5] * 10), 0.9) == 2.5
    assert half_width(np.zeros(20), 0.9) == 0.0


def draw(rng: np.random.Generator, scans: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of three classes, and classes drawn from other ones."""
    logits = rng.normal(size=(scans, 3))
    probabilities = np.exp(2 * logits) / np.exp(2 * logits).sum(axis=1, keepdims=True)
    noisy = logits + rng.gumbel(size=(scans, 3))
    return probabilities, noisy.argmax(axis=1)


@pytest.mark.parametrize("confidence", ["0.5", "0.8", "0.9", "0.95"])
def test_the_threshold_is_the_largest_that_enough_scans_reach(confidence: str) -> None:
    probabilities, targets = draw(np.random.default_rng(5), 61)
    own = [float(row[target]) for row, target in zip(probabilities, targets, strict=True)]
    wanted = 62 * Fraction(confidence)
    enough = [least for least in own if sum(one >= least for one in own) >= wanted]
    assert set_threshold(probabilities, targets, float(confidence)) == max(enough)


def test_too_few_scans_carry_no_threshold() -> None:
    probabilities, targets = draw(np.random.default_rng(6), 19)
    assert set_threshold(probabilities, targets, 0.95) is not None
    assert set_threshold(probabilities[1:], targets[1:], 0.95) is None
    assert set_threshold(probabilities[:0], targets[:0], 0.5) is None


def test_new_scans_have_their_class_in_the_set_as_often_as_promised() -> None:
    """Over many draws of 40 scans; the probabilities are far too sure, which the promise does not mind."""
    rng = np.random.default_rng(7)
    held = []
    for _ in range(400):
        threshold = set_threshold(*draw(rng, 40), 0.9)
        assert threshold is not None
        probabilities, targets = draw(rng, 50)
        held.append(prediction_sets(probabilities, threshold)[np.arange(50), targets].mean())
    assert 0.89 < np.mean(held) < 0.94


def test_a_set_is_never_empty_and_a_lower_threshold_never_smaller() -> None:
    probabilities, _ = draw(np.random.default_rng(8), 200)
    sizes = [prediction_sets(probabilities, least) for least in (1.0, 0.6, 0.3, 0.1, 0.0)]
    assert (sizes[0].sum(axis=1) == 1).all()
    assert sizes[0][np.arange(200), probabilities.argmax(axis=1)].all()
    assert all((more | less == more).all() for less, more in itertools.pairwise(sizes))
    assert sizes[-1].all()

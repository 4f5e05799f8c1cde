"""The half width against exact fractions and plain counting."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from scanlens.evaluation.conformal import half_width


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

"""Millimetres and pixels."""

from __future__ import annotations

import math

import numpy as np
import pytest

from scanlens.preprocess.spacing import COVERED, MOST_SIDE, known, resampled, size_of_extents


@pytest.mark.parametrize(
    "spacing", [None, (), (1.0,), (1.0, 0.0), (1.0, -1.0), (1.0, math.nan), (1.0, math.inf)]
)
def test_a_spacing_that_says_nothing(spacing: tuple[float, ...] | None) -> None:
    assert known(spacing, 2) is None


def test_pixels_after_resampling() -> None:
    assert known([1, 2], 2) == (1.0, 2.0)
    assert resampled((100, 200), (0.5, 0.5), (1.0, 0.25)) == (50, 400)
    assert resampled((1, 3), (0.1, 0.1), (9.0, 9.0)) == (1, 1)
    with pytest.raises(ValueError, match=r"1e\+05 mm are more than"):
        resampled((100, 100), (1000.0, 1.0), (1.0, 1.0))
    assert math.prod(resampled((512, 512, 400), (1, 1, 5), (1, 1, 4))) == 512 * 512 * 500
    with pytest.raises(ValueError, match="6000 x 6000 x 6000 pixels"):
        resampled((20, 20, 20), (300.0,) * 3, (1.0,) * 3)


def test_the_automatic_size_holds_nearly_all_scans() -> None:
    generator = np.random.default_rng(0)
    extents = generator.normal(200, 20, (1000, 2)) * [1, 0.5]
    size = size_of_extents(extents, (1.0, 0.5))
    for axis, (side, step) in enumerate(zip(size, (1.0, 0.5), strict=True)):
        assert side % 8 == 0
        assert COVERED / 100 <= (extents[:, axis] <= side * step).mean() < 1
    assert size_of_extents([(64.0, 64.0)], (1.0, 1.0)) == (64, 64)
    assert size_of_extents([(0.3 * 80, 0.1 * 240)], (0.3, 0.1)) == (80, 240), "rounding errors add nothing"


def test_the_automatic_size_is_bounded() -> None:
    assert size_of_extents([(1.0, 1e6)], (1.0, 1.0)) == (8, MOST_SIDE[2])
    assert size_of_extents([(1e6, 1e6, 40.0)], (1.0, 1.0, 1.0)) == (MOST_SIDE[3], MOST_SIDE[3], 40)

"""Smoothing in whole numbers, against SciPy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from scanlens.phantom.smoothing import (
    WEIGHT_SUM,
    distance_inside,
    gaussian_weights,
    smooth,
    smooth_wide,
    stretch,
)

DRAWN = np.zeros((60, 70), dtype=np.uint8)
DRAWN[15:45, 20:60] = 255


@pytest.mark.parametrize("sigma", [0.2, 0.7, 1.6, 5.0, 11.0])
def test_weights_are_whole_symmetric_and_complete(sigma: float) -> None:
    weights = gaussian_weights(sigma)
    np.testing.assert_array_equal(weights, np.rint(weights))
    np.testing.assert_array_equal(weights, weights[::-1])
    assert weights.sum() == WEIGHT_SUM


@pytest.mark.parametrize("sigma", [0.5, 1.4, 3.0])
@pytest.mark.parametrize("drawn", [True, False])
def test_smooth_is_gaussian(sigma: float, drawn: bool) -> None:
    layer = DRAWN if drawn else DRAWN.astype(np.float32) / 255
    expected = ndimage.gaussian_filter(DRAWN / 255, sigma)
    assert smooth(layer, sigma).dtype == np.float32
    np.testing.assert_allclose(smooth(layer, sigma), expected, atol=0.01)


def test_no_sigma_no_change() -> None:
    np.testing.assert_array_equal(smooth(DRAWN, 0.0), DRAWN.astype(np.float32) / 255)


@pytest.mark.parametrize("sigma", [2.0, 7.0, 10.0])
def test_wide_smoothing_is_gaussian(sigma: float) -> None:
    layer = np.random.default_rng(0).uniform(-1, 3, (91, 74)).astype(np.float32)
    expected = ndimage.gaussian_filter(layer, sigma, mode="nearest")
    assert abs(smooth_wide(layer, sigma) - expected)[8:-8, 8:-8].max() < 0.1
    np.testing.assert_allclose(smooth_wide(np.full_like(layer, 2.5), sigma), 2.5, rtol=1e-6)


@pytest.mark.parametrize(("step", "close"), [(1, 1e-5), (3, 2.0)])
def test_distance_is_euclidean(step: float, close: float) -> None:
    expected = ndimage.distance_transform_edt(DRAWN)
    np.testing.assert_allclose(distance_inside(DRAWN, step), expected, atol=close)


def test_distance_is_finite_where_all_is_drawn() -> None:
    assert np.isfinite(distance_inside(np.full((8, 9), 255, dtype=np.uint8), 1)).all()


def test_stretch_reads_between_and_stays_level_beyond() -> None:
    table = np.array([[0.0, 1], [2, 3], [4, 5]])
    read = stretch(table, np.array([-5.0, 0.5, 2, 9]), np.array([0.25, 1, 7]))
    np.testing.assert_allclose(read, [[0.25, 1, 1], [1.25, 2, 2], [4.25, 5, 5], [4.25, 5, 5]])

"""Percentiles against NumPy's, the background's line against known groups."""

from __future__ import annotations

import numpy as np
import pytest

from scanlens.preprocess.histogram import BINS, Histogram, count_values

RANDOM = np.random.default_rng(0)
SAMPLES = {
    "normal": RANDOM.normal(500, 200, (1, 300, 300)),
    "integers": RANDOM.integers(0, 4096, (1, 300, 300)),
    "few values": RANDOM.choice([0, 10, 11, 900], (1, 300, 300)),
    "skewed": RANDOM.exponential(3, (1, 20, 60, 70)) - 1,
    "few pixels": RANDOM.normal(0, 1, (1, 3, 4)),
}


def of(pixels: np.ndarray) -> Histogram:
    values = pixels.astype(np.float32)
    return count_values(values, float(values.min()), float(values.max()))


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("percent", [0, 0.5, 1, 50, 90, 99.5, 100])
def test_percentiles_are_numpys_to_one_bin(name: str, percent: float) -> None:
    pixels = SAMPLES[name].astype(np.float32)
    expected = float(np.percentile(pixels, percent, method="inverted_cdf"))
    edges = of(pixels).percentile(percent)
    assert edges is not None
    slack = np.ptp(pixels) * 1e-6
    assert edges[0] - slack <= expected <= edges[1] + slack
    assert edges[1] - edges[0] <= np.ptp(pixels) / BINS * 1.01


def test_percentiles_above_a_threshold_are_those_of_the_values_above() -> None:
    pixels = SAMPLES["normal"].astype(np.float32)
    edges = of(pixels).percentile(90, above=600)
    assert edges is not None
    assert edges[0] == pytest.approx(np.percentile(pixels[pixels > 600], 90), abs=0.5)
    assert of(pixels).percentile(90, above=1e6) is None


def test_the_spread_is_none_where_nothing_is_told_apart() -> None:
    nearly_blank = np.zeros((1, 100, 100))
    nearly_blank[0, 0, 0] = 5
    assert of(nearly_blank).spread((0.5, 99.5)) is None
    assert of(nearly_blank).spread((0, 100)) is not None


@pytest.mark.parametrize("outlier", [1e6, -1e9, 3e30])
def test_a_single_outlier_does_not_coarsen_the_rest(outlier: float) -> None:
    pixels = RANDOM.normal(500, 100, (1, 300, 300))
    expected = np.percentile(pixels, [1, 99])
    pixels[0, 0, 0] = outlier
    assert of(pixels).spread((1, 99)) == pytest.approx(tuple(expected), abs=2)


def test_the_background_ends_between_air_and_dark_tissue() -> None:
    air, dark, bright = RANDOM.rayleigh(4, 6000), RANDOM.normal(100, 8, 2000), RANDOM.normal(220, 15, 3000)
    found = of(np.concatenate([air, dark, bright])).background
    assert air.max() < found < dark.min()


def test_moments_are_those_of_the_values_above() -> None:
    pixels = SAMPLES["normal"]
    found = of(pixels).moments(above=400)
    above = pixels[pixels > 400]
    assert found == pytest.approx((above.mean(), above.std()), rel=1e-3)
    assert of(pixels).moments(above=1e9) is None

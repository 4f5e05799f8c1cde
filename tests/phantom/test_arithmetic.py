"""Functions of exact steps, against NumPy's, SciPy's and the standard library's."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from scipy.interpolate import PchipInterpolator

from scanlens.phantom.arithmetic import (
    NORMAL,
    Curve,
    cosine,
    exp,
    log,
    normal,
    power,
    sine,
    uniform,
)


def test_functions_follow_numpys() -> None:
    x = np.linspace(-8, 8, 1001)
    np.testing.assert_allclose(exp(x), np.exp(x), rtol=1e-7)
    np.testing.assert_allclose(exp(x.astype(np.float32)), np.exp(x), rtol=3e-5)
    assert exp(x.astype(np.float32)).dtype == log(np.float32([1])).dtype == np.float32
    positive = np.geomspace(1e-6, 1e6, 1001)
    np.testing.assert_allclose(log(positive), np.log(positive), atol=1e-8)
    np.testing.assert_allclose(power(positive, 0.7), positive**0.7, rtol=1e-5)
    np.testing.assert_allclose(power(np.zeros(1), 0.9), 0, atol=1e-5)
    angle = np.linspace(-20, 20, 1001)
    np.testing.assert_allclose(sine(angle), np.sin(angle), atol=1e-11)
    np.testing.assert_allclose(cosine(angle), np.cos(angle), atol=1e-11)


def test_exp_stays_finite_far_out() -> None:
    far = exp(np.float32([-1e9, 1e9]))
    assert 0 < far[0] < 1e-30
    assert np.isfinite(far[1])


def test_normal_values_are_the_distributions_quantiles() -> None:
    places = np.arange(50, len(NORMAL), 997)
    expected = [NormalDist().inv_cdf((place + 0.5) / len(NORMAL)) for place in places]
    np.testing.assert_allclose(NORMAL[places], expected, atol=2e-3)
    assert NORMAL.std() == pytest.approx(1, abs=1e-3)
    drawn = normal(np.random.default_rng(0), 5, 2, 40000)
    assert (drawn.mean(), drawn.std()) == pytest.approx((5, 2), abs=0.03)


def test_uniform_stays_within() -> None:
    drawn = uniform(np.random.default_rng(0), -3, 5, (100, 100))
    assert -3 <= drawn.min() < -2.99
    assert 4.99 < drawn.max() < 5


def test_curve_is_scipys_between_its_ends_and_level_beyond() -> None:
    knots, values = [0.0, 1, 3, 4, 7], [2.0, 5, 5, 1, 0]
    x = np.linspace(0, 7, 200)
    np.testing.assert_allclose(Curve(knots, values)(x), PchipInterpolator(knots, values)(x), atol=1e-12)
    np.testing.assert_allclose(Curve(knots, values)(np.array([-9.0, 99])), [2, 0], atol=1e-12)

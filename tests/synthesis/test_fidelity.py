"""Fidelity numbers, against closed forms and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg

from scanlens.synthesis.fidelity import GRID, SHRINKAGE, features, frechet_distance, intensity


def test_frechet_against_scipy() -> None:
    random = np.random.default_rng(0)
    first, second = random.normal(size=(60, 5)), random.normal(0.5, 2, size=(80, 5))

    def covariance(values: np.ndarray) -> np.ndarray:
        full = np.cov(values.T)
        return (1 - SHRINKAGE) * full + SHRINKAGE * np.diag(np.diag(full))

    left, right = covariance(first), covariance(second)
    gap = first.mean(0) - second.mean(0)
    root = scipy.linalg.sqrtm(left @ right).real
    expected = gap @ gap + np.trace(left + right - 2 * root)
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-8)
    assert frechet_distance(first, first + 3) == pytest.approx(45, rel=1e-6)


@pytest.mark.parametrize("shape", [(2, 1, 16, 16), (2, 3, 17, 9), (2, 1, 6, 16, 12)])
def test_features(shape: tuple[int, ...]) -> None:
    scans = np.full(shape, 0.25, dtype=np.float32)
    found = features(scans)
    assert found.shape == (2, 3 * GRID**2)
    np.testing.assert_allclose(found[:, 0::3], 0.25)
    assert found[:, 1::3].max() == found[:, 2::3].max() == 0
    noisy = scans + np.random.default_rng(0).normal(0, 0.1, shape).astype(np.float32)
    assert (features(noisy)[:, 2::3] > 0.02).all()


def test_intensity() -> None:
    values = np.random.default_rng(0).random((10, 1, 4, 4)).astype(np.float32)
    found = intensity(np.array_split(values, 3))
    assert found["mean"] == pytest.approx(values.mean(), rel=1e-5)
    assert found["std"] == pytest.approx(values.std(), rel=1e-5)

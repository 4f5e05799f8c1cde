"""Copies are found, others are not."""

from __future__ import annotations

import numpy as np
import pytest

from scanlens.synthesis.memorisation import descriptors, nearest_distances, report


@pytest.mark.parametrize("shape", [(30, 1, 40, 36), (30, 1, 18, 20, 16)])
def test_copies_are_found(shape: tuple[int, ...]) -> None:
    random = np.random.default_rng(0)
    training = random.random(shape).astype(np.float32)
    copies = np.clip(0.7 * training[:10] + 0.1 + random.normal(0, 0.01, (10, *shape[1:])), 0, 1)
    fresh = random.random((10, *shape[1:])).astype(np.float32)
    base = descriptors(training)
    own = nearest_distances(base, [base[:15], base[15:]], skip_same=True)
    for scans, share in ((copies.astype(np.float32), 1.0), (fresh, 0.0)):
        found = report(nearest_distances(descriptors(scans), [base]), own)
        assert found["share_closer"] == pytest.approx(share, abs=0.21)


def test_distance_is_one_minus_correlation() -> None:
    scans = np.random.default_rng(0).random((2, 1, 32, 32)).astype(np.float32)
    expected = 1 - np.corrcoef(scans[0].ravel(), scans[1].ravel())[0, 1]
    vectors = descriptors(scans)
    assert nearest_distances(vectors[:1], [vectors[1:]])[0] == pytest.approx(expected, abs=1e-5)


def test_repeated_training_scans_do_not_count() -> None:
    scans = np.random.default_rng(0).random((3, 1, 32, 32)).astype(np.float32)
    vectors = descriptors(np.concatenate([scans, scans]))
    assert nearest_distances(vectors, [vectors], skip_same=True).min() > 0.5


def test_constant_scan() -> None:
    assert not descriptors(np.full((1, 1, 32, 32), 0.5, np.float32)).any()

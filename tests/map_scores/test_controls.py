from __future__ import annotations

import cv2
import numpy as np
import pytest

from scanlens.map_scores.controls import against_control, edge_map, random_map
from scanlens.map_scores.estimates import Estimator
from tests.helpers.settings import map_scores


def test_the_random_map_is_as_coarse_as_the_method_and_belongs_to_the_scan() -> None:
    maps = [random_map((4, 3), (32, 24), np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert maps[0].shape == (32, 24)
    assert 0 <= maps[0].min() < maps[0].max() < 1
    np.testing.assert_array_equal(maps[0], maps[1])
    assert np.abs(np.corrcoef(maps[0].ravel(), maps[2].ravel())[0, 1]) < 0.6
    # Neighbouring pixels are alike: one index of the grid is eight pixels wide.
    assert np.abs(np.diff(maps[0], axis=1)).max() < 0.2
    assert random_map((2, 2, 2), (8, 8, 8), np.random.default_rng(0)).shape == (8, 8, 8)


def test_edges_equal_opencv() -> None:
    image = np.random.default_rng(0).random((1, 12, 15)).astype(np.float32)
    across, down = (
        cv2.Sobel(image[0], cv2.CV_32F, *way, borderType=cv2.BORDER_REFLECT) for way in ((1, 0), (0, 1))
    )
    np.testing.assert_allclose(edge_map(image), np.hypot(across, down), rtol=1e-4, atol=1e-5)


def test_edges_of_volumes_and_channels() -> None:
    volume = np.zeros((2, 6, 6, 6), np.float32)
    volume[0, 3:] = 1
    edges = edge_map(volume)
    assert (edges[2:4] > 0).all()
    assert (edges[[0, 5]] == 0).all()
    np.testing.assert_allclose(edge_map(volume[:1]), 2 * edges)


@pytest.mark.parametrize(
    ("shift", "better", "verdict"),
    [
        (0.3, "higher", "beats"),
        (-0.3, "higher", "loses"),
        (-0.3, "lower", "beats"),
        (0.3, "lower", "loses"),
        (0.0, "higher", "undecided"),
    ],
)
def test_the_verdict_is_paired(shift: float, better: str, verdict: str) -> None:
    """Scans differ far more than map and control do, and the pairs see through that."""
    rng = np.random.default_rng(0)
    scans = rng.normal(0, 5, 40)
    patients = np.array([f"p{scan}" for scan in range(40)])
    values, control = scans + shift + rng.normal(0, 0.1, 40), scans + rng.normal(0, 0.1, 40)
    found = against_control(
        Estimator(patients, map_scores()), "map", "edges", "road", values, control, better
    )
    assert found.verdict == verdict
    assert found.difference.value == pytest.approx((values - control).mean())


def test_a_control_may_be_drawn_several_times_and_no_interval_decides_nothing() -> None:
    control = np.random.default_rng(0).random((6, 3)) / 10
    patients = np.array([f"p{scan}" for scan in range(6)])
    found = against_control(Estimator(patients, map_scores()), "map", "random", "road", np.ones(6), control)
    assert found.verdict == "beats"
    assert found.difference.value == pytest.approx(1 - control.mean())
    alone = Estimator(patients, map_scores(resamples=0))
    assert against_control(alone, "map", "random", "road", np.ones(6), control).verdict == "undecided"

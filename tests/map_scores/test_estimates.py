from __future__ import annotations

import numpy as np
import pytest

from scanlens.map_scores.estimates import Estimator
from tests.helpers.settings import map_scores


def names(scans: int, a_patient: int = 1) -> np.ndarray:
    return np.array([f"p{scan // a_patient}" for scan in range(scans)])


def test_intervals_cover_the_true_mean_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for draw in range(200):
        estimator = Estimator(names(40), map_scores(resamples=200, confidence=0.9, seed=draw))
        estimate = estimator.means({"score": rng.beta(2, 5, 40)})["score"]
        covered += estimate.low <= 2 / 7 <= estimate.high
    assert 0.84 <= covered / 200 <= 0.95


def test_scans_of_one_patient_make_intervals_wider() -> None:
    values = {"score": np.random.default_rng(0).random(12).repeat(5)}
    alone, together = (Estimator(names(60, each), map_scores()).means(values)["score"] for each in (1, 5))
    assert together.high - together.low > 1.7 * (alone.high - alone.low)
    assert alone.value == together.value == pytest.approx(values["score"].mean())


def test_draws_of_networks_make_intervals_wider() -> None:
    rng = np.random.default_rng(0)
    network = rng.normal(0, 1, 4)
    draws = network + rng.normal(0, 0.1, (50, 4))
    estimator = Estimator(names(50), map_scores())
    crossed, averaged = (estimator.means({"score": values})["score"] for values in (draws, draws.mean(1)))
    assert crossed.value == pytest.approx(averaged.value)
    assert crossed.high - crossed.low > 5 * (averaged.high - averaged.low)


def test_the_ratio_is_of_the_means() -> None:
    above, below = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 1.0, 2.0, 1.0])
    ratio = Estimator(names(4), map_scores()).ratio(above, below)
    assert ratio.value == 2
    assert ratio.low < 2 < ratio.high


def test_settings_change_the_interval() -> None:
    values = {"score": np.random.default_rng(0).random(30)}

    def width(**changes: float) -> float:
        estimate = Estimator(names(30), map_scores(**changes)).means(values)["score"]
        return estimate.high - estimate.low

    assert width(confidence=0.5) < width()
    assert len({width(), width(seed=1), width(resamples=500)}) == 3


def test_no_interval_where_there_is_none() -> None:
    values = {"score": np.array([0.5, 0.7])}
    for patients, settings in ((np.array(["a", "a"]), {}), (names(2), {"resamples": 0})):
        estimate = Estimator(patients, map_scores(**settings)).means(values)["score"]
        assert estimate.bounds() == {"value": pytest.approx(0.6), "low": None, "high": None}
        assert estimate.text(".3g") == "0.6"
        assert estimate.reason
    assert Estimator(names(0), map_scores()).means({"score": np.zeros(0)}) == {}


def test_part_of_the_scans_and_curves() -> None:
    points = np.random.default_rng(0).random((20, 3))
    estimator = Estimator(names(20), map_scores())
    part = estimator.of(np.arange(10)).curve(points[:10])
    assert part["value"] == pytest.approx(points[:10].mean(0))
    assert part["low"] == [
        Estimator(names(10), map_scores()).means({"a": column})["a"].low for column in points[:10].T
    ]

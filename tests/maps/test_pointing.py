from __future__ import annotations

import cv2
import numpy as np
import pytest

from scanlens.errors import SettingsError
from scanlens.maps.pointing import LesionScore, lesion_means, lesion_score, tracked_scores


def square() -> np.ndarray:
    mask = np.zeros((10, 10), bool)
    mask[2:4, 2:7] = True
    return mask


def shares(values: np.ndarray, mask: np.ndarray) -> tuple[float, float, float]:
    score = lesion_score(values, mask)
    assert score is not None
    return score.hit, score.mass, score.area


def test_all_mass_on_the_lesion() -> None:
    assert shares(square().astype(np.float32), square()) == (1, 1, 0.1)


def test_the_peak_beside_the_lesion() -> None:
    values = np.zeros((10, 10), np.float32)
    values[0, 0], values[2, 2] = 3, 1
    assert shares(values, square()) == (0, 0.25, 0.1)


@pytest.mark.parametrize("level", [0.0, 0.3])
def test_a_constant_map_scores_chance(level: float) -> None:
    score = lesion_score(np.full((10, 10), level), square())
    assert score is not None
    assert score.hit == pytest.approx(0.1)
    assert score.mass == pytest.approx(0.1)


def test_a_random_map_scores_chance_on_average() -> None:
    rng = np.random.default_rng(0)
    scores = [lesion_score(rng.random((10, 10)), square()) for _ in range(2000)]
    summary = lesion_means(["nodule"] * len(scores), scores)
    assert summary["pointing_game"] == pytest.approx(0.1, abs=0.02)
    assert summary["mass_over_area"] == pytest.approx(1, abs=0.02)


def test_volumes_and_empty_masks() -> None:
    mask = np.zeros((4, 5, 5), bool)
    assert lesion_score(np.ones(mask.shape), mask) is None
    mask[1, 2, 3] = True
    assert shares(mask.astype(float), mask) == (1, 1, 0.01)


def test_a_mask_of_another_shape_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"\(10, 10\).*\(5, 5\)"):
        lesion_score(np.ones((5, 5)), square())


def test_means_in_all_and_by_label() -> None:
    scores = [LesionScore(1, 0.6, 0.1), LesionScore(0, 0.2, 0.3), LesionScore(1, 0.4, 0.2)]
    summary = lesion_means(["nodule", "effusion", "nodule"], scores)
    assert summary["scans"] == 3
    assert summary["pointing_game"] == pytest.approx(2 / 3)
    assert summary["mass_over_area"] == pytest.approx(2)
    assert summary["per_label"]["nodule"]["mass_in_mask"] == pytest.approx(0.5)
    assert summary["per_label"]["effusion"]["pointing_game"] == 0
    assert lesion_means([], []) == {"scans": 0}


def test_tracked_scores_are_flat_and_name_no_label() -> None:
    one = lesion_means(["<b>"], [LesionScore(1, 0.6, 0.1)])
    assert tracked_scores({"grad_cam": one, "probability_map": lesion_means([], [])}) == {
        "maps.grad_cam.scans": 1,
        "maps.grad_cam.pointing_game": 1,
        "maps.grad_cam.mass_in_mask": 0.6,
        "maps.grad_cam.area_share": 0.1,
        "maps.grad_cam.mass_over_area": pytest.approx(6),
        "maps.grad_cam.pointing_game_near": 0,
        "maps.grad_cam.near_share": 0,
    }


def test_pointing_near_forgives_three_percent_of_the_side() -> None:
    mask = np.zeros((100, 60), bool)
    mask[40:50, 20:30] = True
    for column, near in ((29, 1), (32, 1), (33, 0)):
        values = np.zeros(mask.shape, np.float32)
        values[45, column] = 1
        score = lesion_score(values, mask)
        assert score is not None
        assert (score.near, score.hit) == (near, column == 29)
    assert score.near_area == pytest.approx(np.mean(cv2.dilate(mask.astype(np.uint8), disc(3))))


def disc(radius: int) -> np.ndarray:
    rows, columns = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return (rows**2 + columns**2 <= radius**2).astype(np.uint8)

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from scanlens.errors import SettingsError
from scanlens.estimate import Estimate
from scanlens.map_scores.estimates import Estimator
from scanlens.map_scores.lesions import (
    AREA,
    CHANCE,
    LESION_SCORES,
    NEAR_AREA,
    lesion_estimates,
    lesion_scores,
    score_all,
    scored_indices,
)
from scanlens.map_scores.pictures import Pictures
from tests.helpers.planted import Planted
from tests.helpers.settings import map_scores


def square(side: int = 20) -> np.ndarray:
    mask = np.zeros((side, side), bool)
    mask[2:8, 5:9] = True
    return mask


def maps(cases: int = 6) -> np.ndarray:
    """Smooth maps, some of which know the lesion."""
    rng = np.random.default_rng(1)
    noise = gaussian_filter(rng.random((cases, 20, 20)), (0, 2, 2))
    return (noise + np.linspace(0, 0.3, cases)[:, None, None] * square()).astype(np.float32)


def test_the_mask_itself_is_perfect() -> None:
    scores = lesion_scores(square().astype(np.float32), square())
    assert scores == {**dict.fromkeys(LESION_SCORES, 1.0), AREA: 24 / 400, NEAR_AREA: 24 / 400}


def test_a_peak_beside_the_lesion_counts_as_near() -> None:
    """Three percent of 100 pixels are three."""
    mask = np.zeros((100, 40), bool)
    mask[50:60, 10:20] = True
    for row, near in ((47, 1), (46, 0)):
        values = np.zeros(mask.shape, np.float32)
        values[row, 15] = 1
        scores = lesion_scores(values, mask)
        assert (scores["pointing_game"], scores["pointing_game_near"]) == (0, near)
    # The square, three rows or columns at each side, and of each corner four pixels.
    assert scores["near_share"] == (100 + 4 * 30 + 4 * 4) / 4000


def test_the_wrong_way_round_scores_nothing() -> None:
    scores = lesion_scores((~square()).astype(np.float32), square())
    assert scores["pointing_game"] == scores["mass_in_mask"] == 0
    assert scores["average_precision"] == pytest.approx(24 / 400, abs=1e-3)


def test_random_maps_score_chance() -> None:
    rng = np.random.default_rng(0)
    found = [lesion_scores(rng.random((20, 20)), square()) for _ in range(200)]
    for name in LESION_SCORES:
        chance = found[0][CHANCE[name]]
        assert np.mean([scores[name] for scores in found]) == pytest.approx(chance, abs=0.03)


def test_average_precision_by_its_definition() -> None:
    """Mean, over lesion pixels, of the share of lesion among pixels at least as high."""
    for values in maps():
        inside = values[square()]
        expected = np.mean([(inside >= one).sum() / (values >= one).sum() for one in inside])
        assert lesion_scores(values, square())["average_precision"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("ours", "theirs"), [("pointing_game", "PointingGame"), ("mass_in_mask", "RelevanceMassAccuracy")]
)
def test_it_equals_quantus(ours: str, theirs: str, quantus_library) -> None:
    metric = getattr(quantus_library, theirs)(
        abs=False, normalise=False, disable_warnings=True, display_progressbar=False
    )
    own = maps()
    images = np.zeros((len(own), 1, 20, 20), np.float32)
    masks = np.broadcast_to(square()[None, None], images.shape).astype(int)
    expected = metric(
        model=None,
        x_batch=images,
        y_batch=np.zeros(len(own), int),
        a_batch=own[:, None],
        s_batch=masks,
        channel_first=True,
    )
    found = [lesion_scores(values, square())[ours] for values in own]
    np.testing.assert_allclose(found, np.array(expected, float).ravel(), rtol=1e-5)


def test_masks_that_mark_nothing_or_all_have_no_score() -> None:
    for mask in (np.zeros((4, 4), bool), np.ones((4, 4), bool)):
        assert lesion_scores(np.ones((4, 4)), mask) is None
    with pytest.raises(SettingsError, match=r"\(5, 5\)"):
        lesion_scores(np.ones((5, 5)), square())


def test_several_kinds_over_a_sample(planted: Planted) -> None:
    sample = planted.sample()
    indices = scored_indices(sample)
    assert indices.tolist() == list(range(1, 16, 2))

    masks = [sample.mask(index) for index in range(16)]
    inside = np.stack([np.zeros(sample.size, bool) if mask is None else mask for mask in masks])
    flat = np.ones(inside.shape)
    drawn = {"right": inside * 1.0, "wrong": ~inside * 1.0, "sure": flat}
    pictures = Pictures(sample, drawn, {"sure": inside * 1.0})
    scores = score_all(sample, pictures, ["right", "wrong", "sure"], indices)
    assert scores["right"]["pointing_game"].shape == (8,)
    estimator = Estimator(sample.patients[indices], map_scores())
    right, wrong = (lesion_estimates(scores[kind], estimator) for kind in ("right", "wrong"))
    assert right["average_precision"] == Estimate(1, 1, 1)
    assert right["mass_over_area"].value == pytest.approx(1 / scores["right"][AREA].mean())
    assert wrong["mass_over_area"].value == 0
    assert (scores["sure"]["pointing_game"] == 1).all(), "ranked by its order"
    assert (scores["sure"]["average_precision"] == 1).all()
    np.testing.assert_allclose(scores["sure"]["mass_in_mask"], scores["sure"][AREA])

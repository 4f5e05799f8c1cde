"""What is drawn: chests, lesions where their masks say, sites and the planted shortcut."""

from __future__ import annotations

import numpy as np
import pytest

from scanlens.config.data import PHANTOM_LABELS as LABELS
from scanlens.phantom.anatomy import draw_anatomy
from scanlens.phantom.exposure import SITES
from scanlens.phantom.image import PhantomImage, PhantomRecipe, apply_recipe, draw_phantom, draw_recipe
from scanlens.phantom.lesion import Nodule
from scanlens.phantom.marker import SHAPES, draw_marker

LESIONS = LABELS[1:]
SIZE = (160, 144)


def _draw(label: str, seed: int, **changes: object) -> PhantomImage:
    options: dict = {"size": SIZE, "difficulty": 0.0, "shortcut": 0.0, "site": "north"} | changes
    return draw_phantom(np.random.default_rng(seed), label, **options)


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("size", [(64, 64), (160, 144), (90, 200)])
def test_range_shape_and_repeatability(label: str, site: str, size: tuple[int, int]) -> None:
    phantom = _draw(label, 1, site=site, size=size)
    assert phantom.image.shape == phantom.mask.shape == size
    assert phantom.image.dtype == np.float32
    assert phantom.mask.dtype == np.bool_
    assert 0 <= phantom.image.min() < 0.1
    assert 0.85 < phantom.image.max() <= 1
    np.testing.assert_array_equal(phantom.image, _draw(label, 1, site=site, size=size).image)


@pytest.mark.parametrize("seed", range(6))
def test_spine_is_bright_and_lungs_are_dark(seed: int) -> None:
    image = _draw("normal", seed).image
    rows, columns = slice(50, 100), image.shape[1] // 2
    spine = image[rows, columns - 3 : columns + 4].mean()
    lungs = [image[rows, columns + 26 * side - 5 : columns + 26 * side + 6].mean() for side in (-1, 1)]
    assert spine > max(lungs) + 0.25


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("label", LESIONS)
def test_lesion_is_where_the_mask_is(label: str, seed: int) -> None:
    # One seed draws the same chest for every label, so the difference is the lesion.
    ill, well = _draw(label, seed), _draw("normal", seed)
    assert not well.mask.any()
    change = ill.image - well.image
    assert change[ill.mask].mean() > 0.03
    assert change[ill.mask].mean() > 5 * abs(change[~ill.mask].mean())
    assert abs(change[ill.mask]).mean() > 4 * abs(change[~ill.mask]).mean()


@pytest.mark.parametrize("label", LESIONS)
def test_difficulty_fades_lesions(label: str) -> None:
    def strength(difficulty: float) -> float:
        changes = []
        for seed in range(8):
            ill, well = _draw(label, seed, difficulty=difficulty), _draw("normal", seed)
            changes.append(float(np.clip(ill.image - well.image, 0, None).sum()))
        return float(np.mean(changes))

    plain, middle, hard = (strength(difficulty) for difficulty in (0.0, 0.5, 1.0))
    assert plain > 1.4 * middle > 1.4 * 1.4 * hard > 0


@pytest.mark.parametrize("label", LESIONS)
@pytest.mark.parametrize("difficulty", [0.0, 1.0])
def test_every_lesion_has_a_mask(label: str, difficulty: float) -> None:
    for seed in range(15):
        assert _draw(label, seed, difficulty=difficulty, size=(64, 64)).mask.any(), seed


@pytest.mark.parametrize("difficulty", [0.0, 0.5, 1.0])
def test_nodules_measure_8_to_25_mm(difficulty: float) -> None:
    for seed in range(6):
        rng = np.random.default_rng(seed)
        recipe = draw_recipe(
            rng, "nodule", anatomy=draw_anatomy(rng), site="north", difficulty=difficulty, shortcut=0.0
        )
        assert isinstance(recipe.lesion, Nodule)
        assert 8 <= recipe.lesion.diameter <= 25
        phantom = apply_recipe(recipe, (320, 320))
        across = 2 * np.sqrt(phantom.mask.sum() / np.pi) * phantom.spacing
        assert across == pytest.approx(recipe.lesion.diameter, rel=0.08)


def test_anatomy_lasts_over_a_patients_scans() -> None:
    def scan(patient: int, turn: int) -> PhantomRecipe:
        anatomy = draw_anatomy(np.random.default_rng(patient))
        rng = np.random.default_rng([patient, turn])
        return draw_recipe(rng, "normal", anatomy=anatomy, site="north", difficulty=0.0, shortcut=0.0)

    scans = [[scan(patient, turn) for turn in range(4)] for patient in range(8)]
    for first, *others in scans:
        for other in others:
            assert other.anatomy.width == first.anatomy.width
            np.testing.assert_array_equal(other.anatomy.vessels, first.anatomy.vessels)
            assert other.pose != first.pose
    hearts = np.array([[recipe.anatomy.heart for recipe in turns] for turns in scans])
    assert 0 < hearts.std(axis=1).mean() < 0.7 * hearts.mean(axis=1).std()


def test_sites_differ_in_intensity_and_not_in_anatomy() -> None:
    north, south = ([_draw("normal", seed, site=site) for seed in range(10)] for site in ("north", "south"))
    inner = (slice(40, 130), slice(30, 114))
    means = [np.mean([phantom.image[inner].mean() for phantom in group]) for group in (north, south)]
    assert means[0] > means[1] + 0.03
    assert [phantom.spacing for phantom in north] == [phantom.spacing for phantom in south]


def test_marker_follows_the_class_as_often_as_the_shortcut_says() -> None:
    def agreement(shortcut: float) -> float:
        hits = [
            draw_marker(np.random.default_rng([seed, index]), index, shortcut).shape == SHAPES[index]
            for seed in range(300)
            for index in range(len(LABELS))
        ]
        return float(np.mean(hits))

    assert agreement(1.0) == 1
    assert agreement(0.0) == pytest.approx(0.25, abs=0.04)
    assert agreement(0.6) == pytest.approx(0.6 + 0.4 * 0.25, abs=0.04)


def test_shortcut_changes_the_marker_alone() -> None:
    changed = 0
    for seed in range(8):
        honest, planted = _draw("opacity", seed), _draw("opacity", seed, shortcut=1.0)
        rows, columns = np.nonzero(honest.image != planted.image)
        changed += bool(len(rows))
        if len(rows):
            assert np.ptp(rows) * honest.spacing < 30
            assert np.ptp(columns) * honest.spacing < 30
        np.testing.assert_array_equal(honest.mask, planted.mask)
    assert changed > 0


def test_markers_of_all_shapes_differ() -> None:
    pictures = []
    for index in range(len(SHAPES)):
        rng = np.random.default_rng(0)
        anatomy = draw_anatomy(rng)
        recipe = draw_recipe(rng, LABELS[index], anatomy=anatomy, site="north", difficulty=0.0, shortcut=1.0)
        assert recipe.marker.shape == SHAPES[index]
        left = apply_recipe(recipe, SIZE).image[:45]
        pictures.append(left if recipe.marker.letter == "R" else left[:, ::-1])
    for first in range(len(SHAPES)):
        for second in range(first):
            assert abs(pictures[first] - pictures[second])[:, :40].max() > 0.3

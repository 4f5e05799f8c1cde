from __future__ import annotations

import numpy as np
import pytest

from scanlens.estimate import Estimate
from scanlens.map_scores.controls import Verdict
from scanlens.map_scores.estimates import Estimator
from scanlens.map_scores.facts import (
    fidelity_facts,
    lesion_facts,
    randomisation_facts,
    repeatability_facts,
    sentence,
)
from scanlens.map_scores.fidelity import fractions
from scanlens.map_scores.lesions import AREA, LESION_SCORES, NEAR_AREA
from scanlens.map_scores.randomisation import Cascade
from tests.helpers.planted import Planted
from tests.helpers.settings import map_scores

PLACES = np.arange(1, 16, 2)


def lesions(level: float, draws: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(int(level * 100))
    shape = (len(PLACES), draws) if draws else (len(PLACES),)
    scores = {name: level + rng.normal(0, 0.02, shape) for name in LESION_SCORES}
    return {**scores, AREA: np.full(shape, 0.1), NEAR_AREA: np.full(shape, 0.11)}


def alike(level: float, draws: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {name: level + rng.normal(0, 0.02, (16, draws) if draws else 16) for name in ("spearman", "ssim")}


def test_lesions_in_all_and_by_label(planted: Planted) -> None:
    sample = planted.sample()
    scores = {"good": lesions(0.6), "bad": lesions(0.05), "random": lesions(0.1), "edges": lesions(0.2)}
    estimator = Estimator(sample.patients, map_scores())
    facts, verdicts = lesion_facts(sample, ["good", "bad"], scores, PLACES, estimator)
    assert facts["scans"] == 8
    assert facts["chance"]["value"] == pytest.approx(0.1)
    assert facts["chance_near"]["value"] == pytest.approx(0.11)
    assert set(facts["kinds"]) == set(scores)
    assert list(facts["per_label"]) == ["lesion"]
    assert facts["per_label"]["lesion"]["kinds"]["good"] == facts["kinds"]["good"]
    assert len(verdicts) == 2 * 3 * 4
    assert {(one.kind, one.verdict) for one in verdicts} == {("good", "beats"), ("bad", "loses")}
    assert lesion_facts(sample, ["good"], scores, np.array([], int), estimator)[0]["reason"]


def test_fidelity_in_all_and_by_predicted_class(planted: Planted) -> None:
    sample = planted.sample()
    indices = np.arange(6)
    heights = {"good": (0.1, 0.9), "random": (0.4, 0.4), "edges": (0.5, 0.5)}
    curves = {
        kind: {
            name: np.full((6, len(shares)), high if name in ("insertion", "road_lerf") else low)
            for name, shares in fractions(4).items()
        }
        for kind, (low, high) in heights.items()
    }
    facts, verdicts = fidelity_facts(
        sample, ["good"], curves, indices, Estimator(sample.patients, map_scores()), 4
    )
    assert facts["kinds"]["good"]["road"]["value"] == pytest.approx(0.8)
    assert facts["kinds"]["good"]["curves"]["deletion"]["low"] == pytest.approx([0.1] * 5)
    assert facts["per_predicted"]["lesion"]["scans"] == 3
    assert {one.verdict for one in verdicts} == {"beats"}
    assert {(one.score, one.control) for one in verdicts} == {
        (score, control) for score in ("deletion", "insertion", "road") for control in ("random", "edges")
    }


@pytest.mark.parametrize(
    ("random_lesions", "random_alike", "sentences"),
    [(0.1, 0.0, 0), (0.4, 0.0, 4), (0.1, 0.95, 1)],
)
def test_maps_that_outlive_their_weights_are_told(
    planted: Planted, random_lesions: float, random_alike: float, sentences: int
) -> None:
    estimator = Estimator(planted.sample().patients, map_scores())
    below = lesions(random_lesions - 0.01, 3) if random_lesions == 0.1 else lesions(random_lesions, 3)
    steps = Cascade([1.0], [{"map": alike(random_alike, 3)}], [{"map": below}])
    facts, verdicts, failed = randomisation_facts(
        steps, {"map": lesions(0.6)}, {"map": alike(0.9, 0)}, PLACES, 16, estimator
    )
    assert facts["networks"] == 3
    assert facts["levels"][0]["kinds"]["map"]["spearman"]["value"] == pytest.approx(random_alike, abs=0.02)
    assert [one.verdict for one in verdicts] == ["beats"] * 4
    assert len(failed) == sentences, failed


def test_randomisation_without_masks_or_changes(planted: Planted) -> None:
    estimator = Estimator(planted.sample().patients, map_scores())
    steps = Cascade([1.0], [{"map": alike(0.1, 2)}], [{"map": {}}])
    facts, verdicts, failed = randomisation_facts(steps, {}, "left out", np.array([], int), 16, estimator)
    assert set(facts["levels"][0]["kinds"]["map"]) == {"spearman", "ssim"}
    assert (verdicts, failed) == ([], [])


def test_repeatability_gives_numbers_or_the_reason(planted: Planted) -> None:
    estimator = Estimator(planted.sample().patients, map_scores())
    facts = repeatability_facts({"map": alike(0.9, 0)}, "there is one network", 16, estimator)
    assert facts["changes"]["kinds"]["map"]["ssim"]["value"] == pytest.approx(0.9, abs=0.02)
    assert facts["members"] == {"scans": 0, "reason": "there is one network"}


def test_sentences() -> None:
    difference = Estimate(0.01, -0.02, 0.04)
    verdict = Verdict("grad_cam", "random_weights", "deletion", "lower", difference, "undecided")
    assert sentence(verdict) == (
        "grad_cam: cannot be told from random weights in deletion, by 0.01 (-0.02 to 0.04); lower is better."
    )
    assert sentence(Verdict("grad_cam", "edges", "road", "higher", difference, "beats")) == ""
    assert "is worse than edges" in sentence(Verdict("map", "edges", "road", "higher", difference, "loses"))

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scanlens.errors import SettingsError
from scanlens.map_scores.facts import tracked_map_scores
from scanlens.map_scores.run import FIGURES, score_maps
from scanlens.models.ensemble import Ensemble
from scanlens.scaling.device import Machine
from tests.helpers.planted import STATISTICS, Planted, bright_network
from tests.helpers.settings import map_scores

QUICK = map_scores(curve_scans=8, steps=6, changes=1, randomisations=2, levels=2, resamples=200)
MACHINE = Machine("cpu", "32", 1, 8)


def wrong(network: torch.nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """The probability map upside down."""
    return 1 - network.explain(inputs).local.softmax(1)


def score(planted: Planted, network: torch.nn.Module | None = None, settings=QUICK, **changes) -> dict:
    facts = score_maps(
        network or bright_network(dims=len(planted.store.shape) - 1),
        planted.store,
        planted.rows,
        planted.predictions,
        1.0,
        STATISTICS,
        planted.masks.get,
        settings,
        MACHINE,
        **changes,
    )
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    return facts


@pytest.fixture(scope="module")
def drawn(planted: Planted, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, Path]:
    """Scores of a good and two wrong kinds of map, and their figures."""
    folder = tmp_path_factory.mktemp("figures")
    further = {"wrong": wrong, "given": np.random.default_rng(0).random((16, 2, 4, 4))}
    return score(planted, further=further, figures=folder), folder


def test_the_true_map_beats_every_control_and_the_wrong_one_none(drawn: tuple[dict, Path]) -> None:
    facts, _ = drawn
    verdicts: dict[str, dict[tuple[str, str], str]] = {kind: {} for kind in facts["kinds"]}
    for one in facts["verdicts"]:
        verdicts[one["kind"]][one["score"], one["control"]] = one["verdict"]
    controls = {key for key in verdicts["wrong"] if key[1] != "random_weights"}
    lesion = {key: verdicts["probability_map"][key] for key in controls}
    assert set(lesion.values()) == {"beats"}, lesion
    # Eight random maps that never hit are no match even for a wrong one; chance is.
    assert "beats" not in {verdicts["wrong"][key] for key in controls if "pointing" not in key[0]}
    assert verdicts["wrong"]["pointing_game", "chance"] == "loses"
    assert "random_weights" not in {control for _, control in verdicts["given"]}
    assert not [said for said in facts["failed"] if said.startswith("probability_map: is worse")]
    assert [said for said in facts["failed"] if said.startswith("wrong: is worse than")]
    assert facts["lesions"]["kinds"]["probability_map"]["pointing_game"] == {"value": 1, "low": 1, "high": 1}


def test_facts_say_what_was_done(drawn: tuple[dict, Path]) -> None:
    facts, _ = drawn
    assert (facts["scans"], facts["of"], facts["patients"]) == (16, 16, 8)
    assert facts["settings"] == dataclasses.asdict(QUICK)
    assert facts["kinds"] == ["probability_map", "evidence_map", "grad_cam", "wrong", "given"]
    assert facts["controls"] == ["random", "edges"]
    assert facts["fidelity"]["scans"] == 8
    assert facts["lesions"]["scans"] == 8
    assert facts["randomisation"]["networks"] == 2
    assert list(facts["repeatability"]["changes"]["kinds"]) == facts["kinds"][:-1]
    assert "one network" in facts["repeatability"]["members"]["reason"]


def test_figures_are_drawn(drawn: tuple[dict, Path]) -> None:
    _, folder = drawn
    for name in FIGURES:
        picture = np.asarray(Image.open(folder / name).convert("L"))
        assert min(picture.shape) > 400
        assert picture.std() > 10


def test_numbers_for_tracking(drawn: tuple[dict, Path]) -> None:
    facts, _ = drawn
    numbers = tracked_map_scores(facts)
    assert numbers["scores.probability_map.pointing_game"] == 1
    assert numbers["scores.edges.deletion"] == facts["fidelity"]["kinds"]["edges"]["deletion"]["value"]
    assert numbers["scores.failed"] == len(facts["failed"])
    assert {"scores.grad_cam.spearman_over_changes", "scores.grad_cam.random_weights.ssim"} < set(numbers)


def test_the_same_settings_give_the_same_facts_and_a_sample_is_a_sample(planted: Planted) -> None:
    small = dataclasses.replace(QUICK, scans=6, curve_scans=2, levels=1)
    first = score(planted, settings=small)
    assert first == score(planted, settings=small)
    assert (first["scans"], first["of"], first["fidelity"]["scans"]) == (6, 16, 2)
    assert first != score(planted, settings=dataclasses.replace(small, seed=1))


def test_parts_may_be_left_out(planted: Planted, tmp_path: Path) -> None:
    none = dataclasses.replace(QUICK, curve_scans=0, changes=0, randomisations=0)
    unmarked = dataclasses.replace(planted, masks={})
    facts = score(unmarked, settings=none, figures=tmp_path)
    reasons = [facts["lesions"], facts["fidelity"], facts["repeatability"]["changes"], facts["randomisation"]]
    assert all(part["scans"] == 0 and part["reason"] for part in reasons)
    assert facts["verdicts"] == facts["failed"] == []
    assert all((tmp_path / name).is_file() for name in FIGURES)
    assert tracked_map_scores(facts) == {"scores.failed": 0}


def test_volumes_and_ensembles(volumes: Planted) -> None:
    network = Ensemble([bright_network(3), bright_network(3)])
    facts = score(volumes, network, dataclasses.replace(QUICK, curve_scans=2, levels=1))
    assert facts["lesions"]["kinds"]["grad_cam"]["average_precision"]["value"] > 0.8
    assert facts["repeatability"]["members"]["kinds"]["grad_cam"]["ssim"]["value"] == pytest.approx(1)


def test_nothing_to_score_is_refused(planted: Planted) -> None:
    with pytest.raises(SettingsError, match="no scans"):
        score_maps(
            bright_network(), planted.store, planted.rows[:0], planted.predictions, 1.0, STATISTICS,
            planted.masks.get, QUICK, MACHINE,
        )  # fmt: skip

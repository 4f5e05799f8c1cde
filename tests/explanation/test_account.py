"""The stages after evaluation on planted scans: what they draw, write, score and probe fits together."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from scanlens.atomic import write_json
from scanlens.evaluation.evaluated import Evaluated
from scanlens.explanation import account as account_module
from scanlens.explanation.account import FILES, explain_test_split
from scanlens.map_scores.facts import tracked_map_scores
from scanlens.map_scores.run import score_test_split
from scanlens.maps.files import MAPS
from scanlens.models.predict import predict
from scanlens.scaling.device import Machine
from scanlens.shortcuts.run import probe_test_split, tracked_probes
from tests.helpers.planted import LABELS, STATISTICS, bright_network, plant
from tests.helpers.settings import explanation, map_scores, shortcuts
from tests.helpers.tiny import PREPROCESSOR

MACHINE = Machine("cpu", "32", 1, 5)


SCORES = map_scores(curve_scans=4, steps=3, changes=1, randomisations=1, levels=1, resamples=50)
PROBES = shortcuts(bootstrap=200)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Evaluated:
    """Planted scans with their masks as files, a network that sees the lesions, and its predictions."""
    folder = tmp_path_factory.mktemp("account")
    planted = plant(folder / "store", scans=24)
    store, network = planted.store, bright_network()
    for row, scan_id in enumerate(store.index["scan_id"]):
        pixels = np.round(255 * store.read(np.array([row]))[0, 0]).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{scan_id}.png")
        if scan_id in planted.masks:
            Image.fromarray(planted.masks[scan_id].astype(np.uint8) * 255).save(
                folder / f"{scan_id}-mask.png"
            )
    store.index["path"] = store.index["scan_id"] + ".png"
    store.index["mask"] = [
        f"{one}-mask.png" if one in planted.masks else "" for one in store.index["scan_id"]
    ]
    store.index["modality"] = ""
    store.index["shape"] = [list(store.shape[1:])] * len(store.index)
    store.index["spacing"] = [[0.5, 0.5]] * len(store.index)
    size = tuple(store.shape[1:])
    write_json(folder / "store" / "preprocessor.json", dataclasses.replace(PREPROCESSOR, size=size).to_json())
    logits = predict(network, store, store.rows("test"), STATISTICS, 8, "cpu")
    odds = np.exp(logits - logits.max(1, keepdims=True))
    shares = odds / odds.sum(1, keepdims=True)
    predictions = planted.predictions.assign(uncertainty=1 - shares.max(1))
    for cell, label in enumerate(LABELS):
        predictions[f"logit_{label}"], predictions[f"probability_{label}"] = (
            logits[:, cell],
            shares[:, cell],
        )
    return Evaluated(store, folder / "store", folder, network, STATISTICS, (0.0, 1.0), predictions, 1.0)


@pytest.fixture(scope="module")
def account(
    inputs: Evaluated, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, dict[str, Any]], Path]:
    """The three stages' facts, and the folder of all they wrote."""
    output = tmp_path_factory.mktemp("maps")
    section = explanation(max_overlays=4, neighbours=2)
    return {
        "explanation": explain_test_split(inputs, section, MACHINE, output),
        "map_scores": score_test_split(inputs, SCORES, MACHINE, output),
        "shortcuts": probe_test_split(inputs, output / MAPS, PROBES, MACHINE, output / "shortcuts"),
    }, output


def test_planted_lesions_are_found(account: tuple[dict[str, Any], Path]) -> None:
    facts, output = account
    for kind in ("probability_map", "evidence_map", "grad_cam"):
        assert facts["explanation"]["scores"][kind]["pointing_game"] == 1
        assert facts["map_scores"]["lesions"]["kinds"][kind]["pointing_game"]["value"] == 1
    assert facts["explanation"]["identity"]["max_logit_difference"] < 1e-4
    regions = pd.read_parquet(output / "regions.parquet")
    assert facts["explanation"]["regions"] == len(regions) >= 12
    assert set(regions["label"]) == {"lesion"}
    assert regions["area_mm2"].between(1, 30).all(), "about 8 x 8 pixels of half a millimetre"


def test_files_pictures_and_pages_are_there(account: tuple[dict[str, Any], Path], inputs: Evaluated) -> None:
    facts, output = account
    assert facts["explanation"]["files"] == {"written": len(inputs.store.index), "kept": 0, "failed": 0}
    assert len(list((output / FILES).glob("*.npy"))) == len(inputs.store.index), "pictures have no spacing"
    assert np.load(output / MAPS).dtype == np.float32
    for name in ("gallery.html", "overlays/legend.png", "map_curves.png", "shortcuts/shortcuts.html"):
        assert (output / name).is_file(), name
    assert "scores.failed" in tracked_map_scores(facts["map_scores"])
    assert set(tracked_probes(facts["shortcuts"])) == {"shortcuts.found"}


def test_regions_are_of_the_settings_finding(inputs: Evaluated, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account_module, "explain_task", lambda _, __, config, *___: config.regions.labels)
    section = explanation()
    assert explain_test_split(inputs, section, MACHINE, Path(), "clear") == ["clear"]
    assert explain_test_split(inputs, section, MACHINE, Path()) == []
    section = dataclasses.replace(section, regions=dataclasses.replace(section.regions, labels=["lesion"]))
    assert explain_test_split(inputs, section, MACHINE, Path(), "clear") == ["lesion"]


def test_settings_leave_parts_out(inputs: Evaluated, tmp_path: Path) -> None:
    section = explanation(max_overlays=4, neighbours=0, files="none")
    section = dataclasses.replace(section, regions=dataclasses.replace(section.regions, labels=["clear"]))
    assert explain_test_split(inputs, section, MACHINE, tmp_path)["files"] is None
    assert not (tmp_path / FILES).exists()
    assert set(pd.read_parquet(tmp_path / "regions.parquet")["label"]) <= {"clear"}
    scores = score_test_split(inputs, map_scores(scans=0), MACHINE, tmp_path / "scores")
    probes = probe_test_split(inputs, tmp_path / MAPS, shortcuts(scans=0), MACHINE, tmp_path / "shortcuts")
    assert scores == {"scans": 0, "reason": "map_scores.scans is 0"}
    assert probes == {"scans": 0, "reason": "shortcuts.scans is 0"}
    assert tracked_map_scores(scores) == tracked_probes(probes) == {}
    assert not (tmp_path / "scores").exists()
    assert not (tmp_path / "shortcuts").exists()

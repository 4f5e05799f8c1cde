"""The whole account of planted scans: what the stage draws, writes, scores and probes fits together."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from scanlens.atomic import write_json
from scanlens.config.schema import Explanation
from scanlens.explanation.account import FILES, SHORTCUTS, Inputs, explain_test_split, tracked_numbers
from scanlens.models.predict import predict
from scanlens.scaling.device import Machine
from tests.helpers.planted import LABELS, STATISTICS, bright_network, plant
from tests.helpers.settings import explanation
from tests.helpers.tiny import PREPROCESSOR

MACHINE = Machine("cpu", "32", 1, 5)


def quick(**changes: Any) -> Explanation:
    """Few curves, changes and resamples."""
    section = explanation(max_overlays=4, neighbours=2)
    scores = dataclasses.replace(
        section.scores, curve_scans=4, steps=3, changes=1, randomisations=1, levels=1, resamples=50
    )
    shortcuts = dataclasses.replace(section.shortcuts, bootstrap=200)
    return dataclasses.replace(section, scores=scores, shortcuts=shortcuts, **changes)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
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
    for place, label in enumerate(LABELS):
        predictions[f"logit_{label}"], predictions[f"probability_{label}"] = (
            logits[:, place],
            shares[:, place],
        )
    return Inputs(store, folder / "store", folder, network, STATISTICS, (0.0, 1.0), predictions, lambda: 1.0)


@pytest.fixture(scope="module")
def account(inputs: Inputs, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """Its facts and its folder."""
    output = tmp_path_factory.mktemp("maps")
    return explain_test_split(inputs, quick(), MACHINE, output), output


def test_planted_lesions_are_found(account: tuple[dict[str, Any], Path]) -> None:
    facts, output = account
    for kind in ("probability_map", "evidence_map", "grad_cam"):
        assert facts["scores"][kind]["pointing_game"] == 1
        assert facts["map_scores"]["lesions"]["kinds"][kind]["pointing_game"]["value"] == 1
    assert facts["identity"]["max_logit_difference"] < 1e-4
    regions = pd.read_parquet(output / "regions.parquet")
    assert facts["regions"] == len(regions) >= 12
    assert set(regions["label"]) == {"lesion"}
    assert regions["area_mm2"].between(1, 30).all(), "about 8 x 8 pixels of half a millimetre"


def test_files_pictures_and_pages_are_there(account: tuple[dict[str, Any], Path], inputs: Inputs) -> None:
    facts, output = account
    assert facts["files"] == {"written": len(inputs.store.index), "kept": 0, "failed": 0}
    assert len(list((output / FILES).glob("*.npy"))) == len(inputs.store.index), "pictures have no spacing"
    assert np.load(output / "maps-00000.npy").dtype == np.float32
    for name in ("gallery.html", "overlays/legend.png", "map_curves.png", f"{SHORTCUTS}/shortcuts.html"):
        assert (output / name).is_file(), name
    numbers = tracked_numbers(facts)
    assert {"maps.evidence_map.pointing_game", "scores.failed", "shortcuts.found"} <= set(numbers)


def test_settings_leave_parts_out(inputs: Inputs, tmp_path: Path) -> None:
    section = quick(files="none", neighbours=0)
    section = dataclasses.replace(
        section,
        scores=dataclasses.replace(section.scores, scans=0),
        shortcuts=dataclasses.replace(section.shortcuts, scans=0),
        regions=dataclasses.replace(section.regions, labels=["clear"]),
    )
    facts = explain_test_split(inputs, section, MACHINE, tmp_path)
    assert (facts["files"], facts["map_scores"], facts["shortcuts"]) == (None, None, None)
    assert not (tmp_path / FILES).exists()
    assert set(pd.read_parquet(tmp_path / "regions.parquet")["label"]) <= {"clear"}
    assert not [name for name in tracked_numbers(facts) if name.startswith(("scores.", "shortcuts."))]

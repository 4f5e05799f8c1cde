from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from scanlens.config.schema import Shortcuts
from scanlens.models.classifier import Classifier
from scanlens.models.ensemble import Ensemble, Network
from scanlens.preprocess.store import Store
from scanlens.scaling.device import Machine
from scanlens.shortcuts.run import probe_shortcuts
from tests.helpers.readers import corner, judged, middle, planted_store, reader
from tests.helpers.settings import shortcuts

SETTINGS = shortcuts(bootstrap=500)
MACHINE = Machine("cpu", "32", 1, 16)


def probe(
    network: Classifier,
    store: Store,
    output: Path,
    settings: Shortcuts = SETTINGS,
    instead: Network | None = None,
) -> dict[str, Any]:
    predictions, maps = judged(network, store)
    return probe_shortcuts(
        instead or network, store, predictions, 1.0, store.statistics, maps, settings, MACHINE, output
    )


def verdicts(facts: dict[str, Any]) -> dict[str, str]:
    return {entry["probe"]: entry["verdict"] for entry in facts["probes"]}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return planted_store(tmp_path_factory.mktemp("store"), site="even")


def test_a_network_that_reads_a_corner_is_found_out(store: Store, tmp_path: Path) -> None:
    facts = probe(reader((32, 32), corner((32, 32))), store, tmp_path)
    said = verdicts(facts)
    assert facts["auc"] > 0.95
    assert facts["verdict"] == "found"
    for name in ("border_only", "corners_masked", "corners_swapped"):
        assert said[name] == "found", name
    assert said["marks_only"] == "cannot tell", "too small for letters"
    assert said["origin_site"] == "not found"
    by_name = {entry["probe"]: entry for entry in facts["probes"]}
    assert by_name["border_only"]["value"] > 0.9
    assert by_name["border_only"]["auc_by_class"]["ill"] == pytest.approx(by_name["border_only"]["value"])
    assert by_name["corners_masked"]["auc"] == pytest.approx(0.5)
    assert "preprocess.crop" in by_name["corners_masked"]["remedy"]
    assert "Border only" not in facts["sentence"]
    assert "border only" in facts["sentence"]


def test_a_network_that_reads_the_middle_is_not_accused(store: Store, tmp_path: Path) -> None:
    facts = probe(reader((32, 32), middle((32, 32))), store, tmp_path)
    assert facts["verdict"] == "not found"
    said = verdicts(facts)
    for name in ("border_only", "corners_masked", "corners_swapped"):
        assert said[name] == "not found", name
    assert "found" not in said.values()


def test_a_constant_network_takes_no_shortcut(store: Store, tmp_path: Path) -> None:
    facts = probe(reader((32, 32), None), store, tmp_path)
    assert facts["auc"] == pytest.approx(0.5)
    assert "found" not in verdicts(facts).values()


def test_pictures_page_and_average_maps(store: Store, tmp_path: Path) -> None:
    network = reader((32, 32), corner((32, 32)))
    facts = probe(network, store, tmp_path)
    average = np.load(tmp_path / "average-maps.npy")
    _, maps = judged(network, store)
    ill = store.targets(store.rows("test")) == 1
    np.testing.assert_allclose(average[1], maps[ill, 1].astype(np.float64).mean(0), rtol=1e-5)
    for name in ("bars", "examples", "average-maps"):
        assert np.asarray(Image.open(tmp_path / f"{name}.png").convert("L")).std() > 5, name
    page = (tmp_path / "shortcuts.html").read_text(encoding="utf-8")
    for entry in facts["probes"]:
        assert entry["title"] in page
    assert page.count("data:image/png;base64,") == 3
    assert json.loads(json.dumps(facts)) == facts, "plain values only"


def test_origin_is_found_only_where_it_goes_with_the_label(tmp_path: Path) -> None:
    told = planted_store(tmp_path / "told", site="label")
    network = reader((32, 32), middle((32, 32)))
    entry = next(one for one in probe(network, told, tmp_path)["probes"] if one["probe"] == "origin_site")
    assert entry["verdict"] == "found"
    assert entry["cramers_v"]["value"] > 0.9
    blind = next(
        one
        for one in probe(reader((32, 32), None), told, tmp_path)["probes"]
        if one["probe"] == "origin_site"
    )
    assert blind["verdict"] != "found", "features that say nothing"


@pytest.mark.parametrize(
    ("spatial", "channels", "labels"),
    [
        ((32, 24), 3, ("well", "ill")),
        ((24, 32), 5, ("mild", "worse", "worst")),
        ((16, 24, 24), 1, ("well", "ill")),
    ],
)
def test_channels_classes_and_volumes(
    spatial: tuple[int, ...], channels: int, labels: tuple[str, ...], tmp_path: Path
) -> None:
    store = planted_store(tmp_path / "store", spatial=spatial, channels=channels, labels=labels)
    for region, accused in ((corner(spatial), True), (middle(spatial), False)):
        facts = probe(reader(spatial, region, len(labels)), store, tmp_path / "out")
        said = verdicts(facts)
        assert (said["border_only"] == "found") is accused
        assert (facts["verdict"] == "found") is accused
        assert not [name for name in said if name.startswith("origin")], "no site is known"


def test_a_border_that_gives_one_class_of_three_away_is_found(tmp_path: Path) -> None:
    store = planted_store(tmp_path / "store", labels=("well", "mild", "ill"))
    network = reader((32, 32), corner((32, 32)), 3)
    # Two classes that the corner cannot tell apart.
    with torch.no_grad():
        network.head.weight[1] = network.head.weight[0]
        network.head.bias[1] = network.head.bias[0]
    entry = probe(network, store, tmp_path)["probes"][0]
    assert entry["verdict"] == "found"
    assert entry["auc_by_class"]["ill"] > 0.95


def test_members_are_probed_together(store: Store, tmp_path: Path) -> None:
    network = reader((32, 32), corner((32, 32)))
    facts = probe(network, store, tmp_path, instead=Ensemble([network, network]))
    assert facts["verdict"] == "found"


def test_a_small_split_cannot_tell(tmp_path: Path) -> None:
    few = planted_store(tmp_path / "store", patients=6, site="even")
    facts = probe(reader((32, 32), corner((32, 32))), few, tmp_path)
    assert set(verdicts(facts).values()) == {"cannot tell"}
    assert facts["verdict"] == "cannot tell"
    assert "only 12 test patients" in facts["probes"][0]["sentence"]


def test_same_seed_same_facts(store: Store, tmp_path: Path) -> None:
    network = reader((32, 32), corner((32, 32)))
    first, second = (probe(network, store, tmp_path / name) for name in "ab")
    assert first == second
    for name in ("shortcuts.html", "examples.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize(
    "changes", [{"scans": 40}, {"border": 0.15}, {"bootstrap": 200}, {"confidence": 0.5}, {"seed": 4}]
)
def test_every_setting_changes_something(store: Store, tmp_path: Path, changes: dict[str, Any]) -> None:
    network = reader((32, 32), middle((32, 32)))
    before = probe(network, store, tmp_path / "a")
    after = probe(network, store, tmp_path / "b", replace(SETTINGS, **changes))
    assert before["probes"] != after["probes"]
    if "scans" in changes:
        assert after["scans"] == 40

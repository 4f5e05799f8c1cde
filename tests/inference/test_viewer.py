"""One network, one scan: which classes are shown, what is written, and that nothing half-written stays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from scipy.special import softmax

from scanlens.inference.bundle import open_bundle
from scanlens.inference.reading import Reader, Ready
from scanlens.inference.viewer import Request, Viewer
from scanlens.maps.probability import upsample
from scanlens.maps.regions import suspicious_regions
from scanlens.methods.views import Options
from scanlens.models.predict import to_input
from tests.helpers.networks import small_bundle
from tests.helpers.tiny import edit_bundle, write_scan


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_bundle(tmp_path_factory.mktemp("small") / "bundle")


def viewer(folder: Path, *methods: str, classes: tuple[str, ...] = ("predicted",), **options: Any) -> Viewer:
    request = Request(methods, classes, Options(**options), side=64, progress=False)
    return Viewer(open_bundle(folder), request)


def scan(folder: Path, tmp_path: Path, seed: int = 0) -> Ready:
    opened = open_bundle(folder)
    path = write_scan(tmp_path / "scans" / f"{seed}.png", seed)
    found = Reader(path.parent, 2, opened.checks, opened.preprocessor, located=True)(path.name)
    assert isinstance(found, Ready)
    return found


@pytest.mark.parametrize(
    ("classes", "shown"),
    [
        (("predicted",), None),
        (("all",), [0, 1, 2]),
        (("right", "normal"), [2, 0]),
        (("1",), [1]),
    ],
    ids=["predicted", "all", "names", "number"],
)
def test_classes_are_chosen_by_word_name_or_number(
    shared: Path, classes: tuple[str, ...], shown: list[int] | None
) -> None:
    assert viewer(shared, "probability", classes=classes).classes == shown


def test_a_class_of_that_very_name_is_meant(tmp_path: Path) -> None:
    folder = small_bundle(tmp_path / "bundle")
    edit_bundle(folder, labels=["normal", "predicted", "all"])
    assert viewer(folder, "probability", classes=("predicted",)).classes == [1]
    assert viewer(folder, "probability", classes=("all",)).classes == [2]


@pytest.fixture(autouse=True)
def folders(tmp_path: Path) -> None:
    """Where views are written: what calls the viewer has made its folder."""
    for name in ("out", "one", "all"):
        (tmp_path / name).mkdir()


def test_looking_leaves_the_weights_alone(shared: Path, tmp_path: Path) -> None:
    looked = viewer(shared, "grad_cam", "integrated_gradients", "filters", steps=2, channels=2)
    before = {name: tensor.clone() for name, tensor in looked.network.state_dict().items()}
    looked.of_scan(scan(shared, tmp_path), ["grad_cam", "integrated_gradients"], tmp_path / "out")
    looked.of_network("filters", tmp_path / "out")
    assert not looked.network.training
    for weights in looked.network.parameters():
        assert not weights.requires_grad
        assert weights.grad is None
    for name, tensor in looked.network.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_the_predicted_class_is_shown_with_its_calibrated_probability(shared: Path, tmp_path: Path) -> None:
    ready = scan(shared, tmp_path)
    looked = viewer(shared, "grad_cam")
    facts = looked.of_scan(ready, ["grad_cam"], tmp_path / "out")
    with torch.no_grad():
        tensor = to_input(ready.pixels[None], looked.bundle.statistics, "cpu")
        logits = looked.network.logits(tensor)[0].numpy()
    expected = softmax(logits / 1.7)
    assert list(facts["probabilities"].values()) == pytest.approx(expected.tolist(), abs=1e-5)
    assert list(facts["probabilities"]) == ["normal", "left", "right"]
    (view,) = facts["views"]
    assert view["classes"] == [facts["predicted"]] == [["normal", "left", "right"][expected.argmax()]]
    assert (facts["path"], facts["scan_id"]) == ("0.png", ready.scan_id)
    assert ready.scan_id in view["image"]
    values = np.load(tmp_path / "out" / view["values"])
    assert list(values.shape) == view["shape"]
    assert values.shape[0] == 1
    assert cv2.imread(str(tmp_path / "out" / view["image"])) is not None
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts


def test_regions_are_of_every_finding_though_one_class_is_shown(shared: Path, tmp_path: Path) -> None:
    ready = scan(shared, tmp_path)
    looked = viewer(shared, "probability", classes=("normal",), threshold=0.05)
    (view,) = looked.of_scan(ready, ["probability"], tmp_path / "one")["views"]
    assert view["classes"] == ["normal"]
    everything = viewer(shared, "probability", classes=("all",), threshold=0.05)
    (whole,) = everything.of_scan(ready, ["probability"], tmp_path / "all")["views"]
    assert whole["regions"] == view["regions"]
    assert ready.geometry is not None
    maps = upsample(np.load(tmp_path / "all" / whole["values"]), looked.bundle.preprocessor.size)
    found = [
        region
        for number, label in ((1, "left"), (2, "right"))
        for region in suspicious_regions(maps[number], 0.05, label, inside=ready.geometry.inside)
    ]
    assert found
    said = sorted((region["label"], region["peak"], region["pixels"]) for region in view["regions"])
    expected = sorted((region.label, region.peak, region.pixels) for region in found)
    assert [one[::2] for one in said] == [one[::2] for one in expected]
    assert [one[1] for one in said] == pytest.approx([one[1] for one in expected])
    assert not {"scan_id", "predicted"} & set(view["regions"][0])


def test_regions_are_of_the_finding_that_the_bundle_names(tmp_path: Path) -> None:
    folder = small_bundle(tmp_path / "bundle", classes=2)
    for positive, expected in ((None, {"left"}), ("normal", {"normal"})):
        edit_bundle(folder, positive=positive)
        looked = viewer(folder, "probability", threshold=0.05)
        (view,) = looked.of_scan(scan(folder, tmp_path), ["probability"], tmp_path / "out")["views"]
        assert {region["label"] for region in view["regions"]} == expected


def test_filters_are_as_many_as_the_layer_has(shared: Path, tmp_path: Path) -> None:
    looked = viewer(shared, "filters", steps=1, channels=10_000)
    facts = looked.of_network("filters", tmp_path)
    assert facts["shape"] == [facts["channels"], 1, 16, 12]
    assert len(facts["before"]) == len(facts["after"]) == facts["channels"]
    assert np.isfinite(np.load(tmp_path / "filters.npy")).all()


def test_the_receptive_field_is_the_networks_whatever_the_scan(shared: Path, tmp_path: Path) -> None:
    looked, again = viewer(shared, "receptive_field"), viewer(shared, "receptive_field")
    first, second = scan(shared, tmp_path, 0), scan(shared, tmp_path, 1)
    views = [
        one.of_scan(ready, ["receptive_field"], tmp_path / "out")["views"][0]
        for one, ready in ((looked, first), (looked, second), (again, second))
    ]
    fields = [np.load(tmp_path / "out" / view["values"]) for view in views]
    assert np.array_equal(fields[0], fields[1])
    assert np.array_equal(fields[0], fields[2])
    pictures = [(tmp_path / "out" / view["image"]).read_bytes() for view in views]
    assert pictures[0] != pictures[1], "over its own scan"


def test_a_number_has_neither_probabilities_nor_regions(tmp_path: Path) -> None:
    changes = {"head": "regression", "classes": 1, "centre": 60.0, "spread": 10.0}
    folder = small_bundle(tmp_path / "bundle", task="regression", **changes)
    facts = viewer(folder, "probability").of_scan(scan(folder, tmp_path), ["probability"], tmp_path / "out")
    assert set(facts) == {"path", "scan_id", "value", "views"}
    (view,) = facts["views"]
    assert (view["classes"], view["regions"], view["unit"]) == (["age"], [], "age")
    values = np.load(tmp_path / "out" / view["values"])
    assert values.mean() == pytest.approx(facts["value"], rel=1e-4), "the mean of its places"

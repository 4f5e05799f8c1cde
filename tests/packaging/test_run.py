"""What a bundle holds, and that its id follows what decides a prediction."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scanlens.config.schema import Checks, Packaging
from scanlens.inference.bundle import open_bundle
from scanlens.inference.runtime import choose_runtime
from scanlens.models.architecture import Architecture
from scanlens.models.predict import predict
from scanlens.models.registry import build
from scanlens.models.saved import join_members, load_model, save_model
from scanlens.packaging.run import package
from scanlens.preprocess.store import Store
from tests.helpers.tiny import CHECKS, edit_json


def pack(
    inputs: Path, output: Path, *, onnx: bool = False, name: str = "tiny", checks: Checks = CHECKS
) -> dict[str, Any]:
    output.mkdir()
    folders = (inputs / part for part in ("manifest", "store", "trained", "reports"))
    return package(Packaging(name, onnx), checks, {"task": "binary", "dims": 2}, *folders, output)


@pytest.fixture
def inputs(tiny_bundle: Path, tmp_path: Path) -> Path:
    """A copy of what the tiny bundle was made from."""
    for name in ("manifest", "store", "trained", "reports"):
        shutil.copytree(tiny_bundle.parent / name, tmp_path / "inputs" / name)
    return tmp_path / "inputs"


def test_the_bundle_is_four_plain_files(tiny_bundle: Path) -> None:
    names = sorted(path.name for path in tiny_bundle.iterdir())
    assert names == ["MODEL_CARD.md", "bundle.json", "model.onnx", "model.safetensors"]
    description = json.loads((tiny_bundle / "bundle.json").read_text())
    assert sorted(description["files"]) == ["MODEL_CARD.md", "model.onnx", "model.safetensors"]
    for name, digest in description["files"].items():
        assert hashlib.sha256((tiny_bundle / name).read_bytes()).hexdigest() == digest
    assert description["lineage"] == {"data_hash": "d" * 64, "split_hash": "e" * 64}
    assert {"scanlens", "torch", "numpy", "pydicom"} == set(description["versions"])


def test_the_bundle_names_no_path_of_this_machine(tiny_bundle: Path) -> None:
    for name in ("bundle.json", "MODEL_CARD.md"):
        assert str(tiny_bundle.parent) not in (tiny_bundle / name).read_text()


def test_facts_for_the_report(inputs: Path, tmp_path: Path) -> None:
    facts = pack(inputs, tmp_path / "out")
    assert facts["files"] == ["MODEL_CARD.md", "model.safetensors"]
    assert facts["bytes"] == sum(path.stat().st_size for path in (tmp_path / "out").iterdir())
    assert facts["labels"] == ["dark", "bright"]
    weights = (inputs / "trained" / "model.safetensors").read_bytes()
    assert facts["weights_sha256"] == hashlib.sha256(weights).hexdigest()


def test_the_finding_goes_along(inputs: Path, tmp_path: Path) -> None:
    pack(inputs, tmp_path / "without")
    assert open_bundle(tmp_path / "without").positive is None
    edit_json(inputs / "reports" / "evaluation.json", positive={"label": "dark", "other": "bright"})
    pack(inputs, tmp_path / "with")
    assert open_bundle(tmp_path / "with").positive == "dark"


def test_the_id_stays_where_nothing_decisive_changed(inputs: Path, tmp_path: Path, tiny_bundle: Path) -> None:
    expected = json.loads((tiny_bundle / "bundle.json").read_text())["bundle_id"]
    assert pack(inputs, tmp_path / "one", name="other")["bundle_id"] == expected
    edit_json(inputs / "manifest" / "manifest.json", data_hash="f" * 64)
    assert pack(inputs, tmp_path / "two")["bundle_id"] == expected
    first, second = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two"))
    assert first == second


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("reports/calibration.json", {"temperature": 1.8}),
        ("trained/model.json", {"labels": ["bright", "dark"]}),
        ("trained/model.json", {"statistics": {"mean": [0.1], "std": [0.2]}}),
        ("store/preprocessor.json", {"aspect": "stretch"}),
        ("trained/model.json", {"weights_sha256": "0" * 64}),
    ],
)
def test_the_id_changes_with_what_decides_a_prediction(
    inputs: Path, tmp_path: Path, name: str, change: dict[str, Any]
) -> None:
    before = pack(inputs, tmp_path / "one")["bundle_id"]
    edit_json(inputs / name, **change)
    assert pack(inputs, tmp_path / "two")["bundle_id"] != before


def test_stricter_checks_are_another_bundle(inputs: Path, tmp_path: Path) -> None:
    stricter = dataclasses.replace(CHECKS, min_side=8)
    before = pack(inputs, tmp_path / "one")["bundle_id"]
    assert pack(inputs, tmp_path / "two", checks=stricter)["bundle_id"] != before


def test_an_ensemble_is_one_bundle_that_repeats_its_mean(inputs: Path, tmp_path: Path) -> None:
    _, description = load_model(inputs / "trained")
    architecture = Architecture.from_json(description["architecture"])
    for number in (0, 1):
        folder = tmp_path / "members" / str(number)
        network = build(architecture, number)
        facts = {"best_epoch": 0, "first_weights": "none"}
        save_model(folder, network, architecture, description["labels"], description["statistics"], facts)
        (folder / "history.csv").write_text("epoch\n0\n")
        (folder / "judged.csv").write_text(f"scan_id,member\n{number},{number}\n")
    shutil.rmtree(inputs / "trained")
    join_members([tmp_path / "members" / name for name in "01"], inputs / "trained")
    pack(inputs, tmp_path / "out", onnx=True)
    bundle = open_bundle(tmp_path / "out")
    assert bundle.description["members"] == 2
    store = Store.open(inputs / "store")
    rows = store.rows("test")
    members = [load_model(tmp_path / "members" / name)[0] for name in "01"]
    expected = np.mean([predict(one, store, rows, store.statistics, 4, "cpu") for one in members], axis=0)
    for runtime in ("onnx", "torch"):
        logits, _ = choose_runtime(bundle, runtime, 1)[1](store.read(rows))
        assert logits == pytest.approx(expected, abs=1e-4)

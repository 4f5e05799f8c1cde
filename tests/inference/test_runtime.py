"""Two runtimes, one answer."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from scanlens.errors import BundleError
from scanlens.inference.bundle import open_bundle
from scanlens.inference.runtime import choose_runtime
from scanlens.models.architecture import Architecture
from scanlens.models.classifier import Classifier
from scanlens.models.ensemble import Ensemble
from scanlens.models.predict import predict, to_input
from scanlens.models.registry import build
from scanlens.models.saved import load_model
from scanlens.models.weights import save_weights
from scanlens.preprocess.store import Store
from tests.helpers.tiny import edit_bundle, edit_json


@pytest.mark.parametrize("count", [1, 5])
def test_torch_and_onnx_agree(tiny_bundle: Path, count: int) -> None:
    bundle = open_bundle(tiny_bundle)
    scans = np.random.default_rng(0).random((count, 1, 16, 16), dtype=np.float32)
    by_torch, by_onnx = (choose_runtime(bundle, name, 1)[1](scans) for name in ("torch", "onnx"))
    for ours, other in zip(by_torch, by_onnx, strict=True):
        assert other.dtype == ours.dtype == np.float32
        assert other.shape == ours.shape
        assert other.shape[:2] == (count, 2)
        assert np.abs(ours - other).max() < 1e-5
        assert ours.std() > 0.01
    assert by_onnx[0].shape == (count, 2)
    assert np.allclose(by_onnx[1].mean((2, 3)), by_onnx[0], atol=1e-5)


def test_the_bundle_answers_as_the_trained_network_did(tiny_bundle: Path) -> None:
    folder = tiny_bundle.parent
    store = Store.open(folder / "store")
    network, model = load_model(folder / "trained")
    rows = store.rows("test")
    expected = predict(network, store, rows, model["statistics"], 4, "cpu")
    for name in ("torch", "onnx"):
        logits, _ = choose_runtime(open_bundle(tiny_bundle), name, 1)[1](store.read(rows))
        assert np.allclose(logits, expected, atol=1e-5)


def as_ensemble(folder: Path, members: int) -> list[Classifier]:
    """Put ``members`` networks into a bundle, without ONNX, whatever its description says of their number."""
    bundle = open_bundle(folder)
    architecture = Architecture.from_json(bundle.architecture)
    single = [build(architecture, seed).eval() for seed in range(members)]
    (folder / "model.onnx").unlink()
    digest = save_weights(Ensemble(single), folder / "model.safetensors")
    files = {**bundle.description["files"], "model.safetensors": digest}
    files.pop("model.onnx")
    edit_bundle(folder, files=files)
    return single


def test_an_ensemble_says_the_mean_of_its_members(bundle_folder: Path) -> None:
    single = as_ensemble(bundle_folder, 3)
    edit_bundle(bundle_folder, members=3)
    bundle = open_bundle(bundle_folder)
    scans = np.random.default_rng(0).random((4, 1, 16, 16), dtype=np.float32)
    name, judge = choose_runtime(bundle, "auto", 1)
    assert name == "torch"
    logits, local = judge(scans)
    with torch.inference_mode():
        parts = [network.explain(to_input(scans, bundle.statistics, "cpu")) for network in single]
    assert np.allclose(logits, np.mean([part.logits for part in parts], axis=0), atol=1e-6)
    assert np.allclose(local, np.mean([part.local for part in parts], axis=0), atol=1e-6)


@pytest.mark.parametrize("said", [None, 2, 10**12])
def test_another_number_of_members_is_an_error_in_one_line(bundle_folder: Path, said: int | None) -> None:
    as_ensemble(bundle_folder, 3)
    if said:
        edit_bundle(bundle_folder, members=said)
    with pytest.raises(BundleError, match=f"hold 3 networks, their description says {said or 1}"):
        choose_runtime(open_bundle(bundle_folder), "torch", 1)


def hide(monkeypatch: pytest.MonkeyPatch, *hidden: str) -> None:
    found = importlib.util.find_spec

    def find_spec(name: str, *rest: Any) -> Any:
        return None if name in hidden else found(name, *rest)

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)


def test_what_is_installed_decides(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = open_bundle(tiny_bundle)
    assert choose_runtime(bundle, "auto", 1)[0] == "onnx"
    assert choose_runtime(bundle, "torch", 1)[0] == "torch"
    hide(monkeypatch, "onnxruntime")
    assert choose_runtime(bundle, "auto", 1)[0] == "torch"
    with pytest.raises(BundleError, match="onnxruntime is not installed"):
        choose_runtime(bundle, "onnx", 1)
    hide(monkeypatch, "onnxruntime", "torch")
    for name in ("auto", "torch"):
        with pytest.raises(BundleError, match="neither ONNX Runtime nor torch"):
            choose_runtime(bundle, name, 1)  # type: ignore[arg-type]


def test_a_bundle_without_onnx(bundle_folder: Path) -> None:
    files = open_bundle(bundle_folder).description["files"]
    files.pop("model.onnx")
    edit_json(bundle_folder / "bundle.json", files=files)
    bundle = open_bundle(bundle_folder)
    assert choose_runtime(bundle, "auto", 1)[0] == "torch"
    with pytest.raises(BundleError, match=r"holds no model\.onnx.*--runtime torch"):
        choose_runtime(bundle, "onnx", 1)


def test_a_model_that_onnx_runtime_refuses(bundle_folder: Path) -> None:
    (bundle_folder / "model.onnx").write_bytes(b"not onnx")
    files = json.loads((bundle_folder / "bundle.json").read_text())["files"]
    files["model.onnx"] = hashlib.sha256(b"not onnx").hexdigest()
    edit_json(bundle_folder / "bundle.json", files=files)
    with pytest.raises(BundleError, match=r"model\.onnx: ONNX Runtime refuses it"):
        choose_runtime(open_bundle(bundle_folder), "auto", 1)


@pytest.mark.parametrize(
    "change",
    [
        {"wings": 2},
        {"classes": 7},
        {"hidden": [3]},
        {"hidden": [60000, 60000]},
        {"hidden": ["3"]},
        {"dropout": 3.0},
        {"args": []},
        {"size": [10**6, 10**6]},
        {"width": 1e300},
        {"head": "crystal ball"},
        {"name": "resnet1888", "library": "timm"},
    ],
    ids=str,
)
def test_an_architecture_that_does_not_fit_is_an_error_in_one_line(
    bundle_folder: Path, change: dict[str, Any]
) -> None:
    bundle = open_bundle(bundle_folder)
    edit_bundle(bundle_folder, architecture={**bundle.architecture, **change})
    with pytest.raises(BundleError, match="architecture") as caught:
        choose_runtime(open_bundle(bundle_folder), "torch", 1)
    assert "\n" not in str(caught.value)

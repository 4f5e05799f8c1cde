"""Two runtimes, one answer."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scanlens.errors import BundleError
from scanlens.inference.bundle import open_bundle
from scanlens.inference.runtime import choose
from scanlens.models.predict import predict
from scanlens.models.saved import load_model
from scanlens.preprocess.store import Store
from tests.helpers.tiny import edit_bundle, edit_json


@pytest.mark.parametrize("count", [1, 5])
def test_torch_and_onnx_agree(tiny_bundle: Path, count: int) -> None:
    bundle = open_bundle(tiny_bundle)
    scans = np.random.default_rng(0).random((count, 1, 16, 16), dtype=np.float32)
    results = {name: choose(bundle, name, 1)[1](scans) for name in ("torch", "onnx")}
    assert results["onnx"].dtype == np.float32
    assert results["onnx"].shape == results["torch"].shape
    assert results["onnx"].shape[:2] == (count, 2)
    assert np.abs(results["torch"] - results["onnx"]).max() < 1e-5
    assert results["torch"].std() > 0.01


def test_the_bundle_answers_as_the_trained_network_did(tiny_bundle: Path) -> None:
    folder = tiny_bundle.parent
    store = Store.open(folder / "store")
    network, model = load_model(folder / "trained")
    rows = store.rows("test")
    expected = predict(network, store, rows, model["statistics"], 4, "cpu")
    for name in ("torch", "onnx"):
        local = choose(open_bundle(tiny_bundle), name, 1)[1](store.read(rows))
        assert np.allclose(local.mean((2, 3)), expected, atol=1e-5)


def hide(monkeypatch: pytest.MonkeyPatch, *hidden: str) -> None:
    found = importlib.util.find_spec

    def find_spec(name: str, *rest: Any) -> Any:
        return None if name in hidden else found(name, *rest)

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)


def test_what_is_installed_decides(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = open_bundle(tiny_bundle)
    assert choose(bundle, "auto", 1)[0] == "onnx"
    assert choose(bundle, "torch", 1)[0] == "torch"
    hide(monkeypatch, "onnxruntime")
    assert choose(bundle, "auto", 1)[0] == "torch"
    with pytest.raises(BundleError, match="onnxruntime is not installed"):
        choose(bundle, "onnx", 1)
    hide(monkeypatch, "onnxruntime", "torch")
    for name in ("auto", "torch"):
        with pytest.raises(BundleError, match="neither ONNX Runtime nor torch"):
            choose(bundle, name, 1)  # type: ignore[arg-type]


def test_a_bundle_without_onnx(bundle_folder: Path) -> None:
    files = open_bundle(bundle_folder).description["files"]
    files.pop("model.onnx")
    edit_json(bundle_folder / "bundle.json", files=files)
    bundle = open_bundle(bundle_folder)
    assert choose(bundle, "auto", 1)[0] == "torch"
    with pytest.raises(BundleError, match=r"holds no model\.onnx.*--runtime torch"):
        choose(bundle, "onnx", 1)


def test_a_model_that_onnx_runtime_refuses(bundle_folder: Path) -> None:
    (bundle_folder / "model.onnx").write_bytes(b"not onnx")
    files = json.loads((bundle_folder / "bundle.json").read_text())["files"]
    files["model.onnx"] = hashlib.sha256(b"not onnx").hexdigest()
    edit_json(bundle_folder / "bundle.json", files=files)
    with pytest.raises(BundleError, match=r"model\.onnx: ONNX Runtime refuses it"):
        choose(open_bundle(bundle_folder), "auto", 1)


@pytest.mark.parametrize(
    "change", [{"wings": 2}, {"classes": 7}, {"name": "resnet1888", "library": "timm"}], ids=str
)
def test_an_architecture_that_does_not_fit_is_an_error_in_one_line(
    bundle_folder: Path, change: dict[str, Any]
) -> None:
    bundle = open_bundle(bundle_folder)
    edit_bundle(bundle_folder, architecture={**bundle.architecture, **change})
    with pytest.raises(BundleError, match="architecture") as caught:
        choose(open_bundle(bundle_folder), "torch", 1)
    assert "\n" not in str(caught.value)

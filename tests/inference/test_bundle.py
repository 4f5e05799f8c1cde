"""A bundle is opened whole and unaltered, or not at all."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scanlens.errors import BundleError
from scanlens.inference.bundle import _REQUIRED, open_bundle, sha256
from tests.helpers.tiny import edit_bundle, edit_json


def test_open_bundle(tiny_bundle: Path) -> None:
    bundle = open_bundle(tiny_bundle)
    assert bundle.labels == ["dark", "bright"]
    assert bundle.dims == 2
    assert bundle.temperature == 1.7
    assert bundle.preprocessor.size == (16, 16)
    assert len(bundle.bundle_id) == 16
    assert bundle.architecture["name"] == "cnn"


@pytest.mark.parametrize("name", ["model.safetensors", "model.onnx", "MODEL_CARD.md"])
def test_one_changed_bit_is_found(bundle_folder: Path, name: str) -> None:
    content = bytearray((bundle_folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle_folder / name).write_bytes(content)
    with pytest.raises(BundleError, match=rf"{name}: altered since packaging.*Copy the whole folder"):
        open_bundle(bundle_folder)


@pytest.mark.parametrize("name", ["model.safetensors", "model.onnx", "MODEL_CARD.md"])
def test_a_missing_file_is_named(bundle_folder: Path, name: str) -> None:
    (bundle_folder / name).unlink()
    with pytest.raises(BundleError, match=rf"{name}: listed in bundle\.json but missing"):
        open_bundle(bundle_folder)


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "sub/../model.onnx", "..", "", "sub/file"])
def test_files_outside_of_the_folder_are_refused(bundle_folder: Path, name: str) -> None:
    (bundle_folder / "sub").mkdir()
    (bundle_folder / "sub" / "file").write_text("x")
    (bundle_folder.parent / "outside").write_text("x")
    path = bundle_folder / name
    digest = sha256(path) if path.is_file() else "0" * 64
    edit_json(bundle_folder / "bundle.json", files={name: digest})
    with pytest.raises(BundleError, match="listed in"):
        open_bundle(bundle_folder)


@pytest.mark.parametrize("key", _REQUIRED)
def test_a_missing_key_is_named(bundle_folder: Path, key: str) -> None:
    edit_json(bundle_folder / "bundle.json", **{key: None})
    with pytest.raises(BundleError, match=rf"bundle\.json: lacks {key}\."):
        open_bundle(bundle_folder)


def test_another_format_names_both_numbers(bundle_folder: Path) -> None:
    edit_json(bundle_folder / "bundle.json", format=1)
    with pytest.raises(BundleError, match=r"bundle format 1, this scanlens reads 5"):
        open_bundle(bundle_folder)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b"\xff\xfe"])
def test_what_is_no_description_is_refused(bundle_folder: Path, content: bytes) -> None:
    (bundle_folder / "bundle.json").write_bytes(content)
    with pytest.raises(BundleError, match=r"bundle\.json") as caught:
        open_bundle(bundle_folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"preprocessor": {"size": [16, 16]}},
        {"preprocessor": 3},
        {"calibration": {}},
        {"calibration": {"temperature": "warm"}},
        {"calibration": 3},
        {"dims": "two"},
        {"labels": 3},
        {"checks": {"wings": 2}},
    ],
    ids=str,
)
def test_malformed_values_are_refused(bundle_folder: Path, change: dict[str, Any]) -> None:
    edit_bundle(bundle_folder, **change)
    with pytest.raises(BundleError, match=r"bundle\.json: malformed"):
        open_bundle(bundle_folder)


@pytest.mark.parametrize("files", [["model.onnx"], 3, {}, {"model.onnx": "0" * 64}], ids=str)
def test_a_list_of_files_that_lists_too_little_is_refused(bundle_folder: Path, files: Any) -> None:
    edit_json(bundle_folder / "bundle.json", files=files)
    with pytest.raises(BundleError, match="bundle"):
        open_bundle(bundle_folder)


@pytest.mark.parametrize("name", ["model.safetensors", "MODEL_CARD.md"])
def test_weights_and_card_must_be_listed(bundle_folder: Path, name: str) -> None:
    files = open_bundle(bundle_folder).description["files"]
    edit_json(bundle_folder / "bundle.json", files={k: v for k, v in files.items() if k != name})
    with pytest.raises(BundleError, match=name):
        open_bundle(bundle_folder)


@pytest.mark.parametrize(
    "change",
    [
        {"labels": ["bright", "dark"]},
        {"calibration": {"temperature": 1.0}},
        {"dims": 3},
        {"bundle_id": "0" * 16},
    ],
    ids=str,
)
def test_a_changed_description_does_not_fit_its_id(bundle_folder: Path, change: dict[str, Any]) -> None:
    edit_json(bundle_folder / "bundle.json", **change)
    with pytest.raises(BundleError, match=r"bundle\.json: altered since packaging \(its id differs\)"):
        open_bundle(bundle_folder)


def test_a_folder_without_bundle(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(BundleError, match=r"no bundle here.*packaging"):
            open_bundle(path)


HEAVY = ("torch", "sklearn", "matplotlib", "mlflow", "hydra", "monai", "timm", "pytorch_lightning", "dvc")


@pytest.mark.parametrize(
    "module", ["scanlens.inference.batch", "scanlens.inference.bundle", "scanlens.inference.runtime"]
)
def test_inference_loads_no_framework(module: str) -> None:
    code = f"import json, sys, {module}; print(json.dumps(sorted(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(json.loads(result.stdout))
    assert module in loaded
    assert not loaded & set(HEAVY)

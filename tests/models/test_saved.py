"""What is saved is what is loaded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from scanlens.errors import SettingsError
from scanlens.models.architecture import Architecture
from scanlens.models.registry import build
from scanlens.models.saved import load_model, save_model

Make = Callable[..., Architecture]
STATISTICS = {"mean": [0.4], "std": [0.2], "scans": 9}


def test_round_trip(tmp_path: Path, architecture: Make) -> None:
    made = architecture()
    network = build(made, 5)
    labels = ["a", "b", "Ärzte \u201c"]
    digest = save_model(tmp_path, network, made, labels, STATISTICS, {"best_epoch": 3})
    loaded, description = load_model(tmp_path)
    assert not loaded.training
    assert description["labels"] == labels
    assert description["statistics"] == STATISTICS
    assert description["best_epoch"] == 3
    assert Architecture.from_json(description["architecture"]) == made
    written = hashlib.sha256((tmp_path / "model.safetensors").read_bytes()).hexdigest()
    assert digest == description["weights_sha256"] == written
    scans = torch.randn(2, 1, *made.size)
    with torch.inference_mode():
        assert torch.equal(loaded(scans), network.eval()(scans))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "model.safetensors"]


def test_numbers_that_are_no_json_are_refused_before_anything_is_named_model_json(
    tmp_path: Path, architecture: Make
) -> None:
    made = architecture()
    with pytest.raises(ValueError, match="JSON"):
        save_model(tmp_path, build(made), made, ["a"], STATISTICS, {"loss": float("nan")})
    assert not (tmp_path / "model.json").exists()


def test_the_description_is_plain_json(tmp_path: Path, architecture: Make) -> None:
    made = architecture()
    save_model(tmp_path, build(made), made, ["a", "b", "c"], STATISTICS, {})
    assert json.loads((tmp_path / "model.json").read_text())["architecture"]["size"] == [16, 12]


def test_missing_weights_are_named(tmp_path: Path, architecture: Make) -> None:
    made = architecture()
    save_model(tmp_path, build(made), made, ["a", "b", "c"], STATISTICS, {})
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(SettingsError, match=r"model\.safetensors: no such weights file"):
        load_model(tmp_path)

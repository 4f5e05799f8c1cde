"""The card says what the bundle says."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from scanlens.packaging.card import model_card

EVALUATION: dict[str, Any] = {
    "test": {
        "auc_macro": {"value": 0.91234, "low": 0.85, "high": 0.97},
        "accuracy": {"value": 0.8, "low": None, "high": None},
        "ece": {"value": None, "low": None, "high": None},
        "private_metric": {"value": 0.123456},
    },
    "warnings": ["Only 12 patients in the test split."],
}


@pytest.fixture
def description(tiny_bundle: Path) -> dict[str, Any]:
    return copy.deepcopy(json.loads((tiny_bundle / "bundle.json").read_text()))


def test_numbers_with_and_without_intervals(description: dict[str, Any]) -> None:
    card = model_card(description, EVALUATION)
    assert "| auc_macro | 0.912 (0.850 to 0.970) |" in card
    assert "| accuracy | 0.800 |" in card
    assert "| ece | not defined |" in card
    assert "private_metric" not in card


def test_what_a_reader_must_know(description: dict[str, Any]) -> None:
    card = model_card(description, EVALUATION)
    assert card.startswith(f"# Model card: tiny {description['bundle_id']}\n")
    for text in ("Not a medical device", "- Only 12 patients in the test split.", "dark, bright", "1.700"):
        assert text in card
    for value in (*description["lineage"].values(), *description["versions"].values()):
        assert value in card


def test_what_a_prediction_set_promises(description: dict[str, Any]) -> None:
    assert "the set of classes that is to hold the true one of 90 % of new scans" in model_card(
        description, EVALUATION
    )
    description["calibration"]["set_threshold"] = None
    assert "the set of classes" not in model_card(description, EVALUATION)


def test_counts_of_every_split_stand_under_their_class(description: dict[str, Any]) -> None:
    description["splits"] = {"train": {"bright": 7, "dark": 3}, "test": {"bright": 2}}
    card = model_card(description, EVALUATION)
    assert "| split | dark | bright |" in card
    assert "| train | 3 | 7 |" in card
    assert "| test | 0 | 2 |" in card


def test_the_head_and_the_number_of_networks_are_named(description: dict[str, Any]) -> None:
    assert "cnn (scanlens), head softmax, input 1 x 16 x 16" in model_card(description, EVALUATION)
    several = model_card({**description, "members": 5}, EVALUATION)
    assert "The mean of 5 networks: cnn (scanlens)" in several


def test_volumes_are_called_volumes(description: dict[str, Any]) -> None:
    assert "for one image" in model_card(description, EVALUATION)
    assert "for one volume" in model_card({**description, "dims": 3}, EVALUATION)

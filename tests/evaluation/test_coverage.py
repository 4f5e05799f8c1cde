"""How well prediction sets do, against plain counting."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from scanlens.config.schema import Evaluation
from scanlens.evaluation.coverage import set_facts

LABELS = ["normal", "nodule", "opacity"]
HELD = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 1], [0, 0, 1], [0, 1, 0], [1, 1, 1]], dtype=bool)
PREDICTED = np.array([0, 0, 1, 2, 1, 2])
TARGETS = np.array([0, 1, 0, 1, 1, 2])
PATIENTS = np.array(["a", "a", "b", "c", "d", "e"])


def test_facts_are_shares_of_the_scans(config: Evaluation) -> None:
    facts = set_facts(HELD, PREDICTED, TARGETS, PATIENTS, LABELS, config)
    values = {name: facts[name]["value"] for name in ("coverage", "size", "abstained", "accuracy_decided")}
    assert values == pytest.approx(
        {"coverage": 4 / 6, "size": 10 / 6, "abstained": 3 / 6, "accuracy_decided": 2 / 3}
    )
    assert facts["by_class"] == pytest.approx({"normal": 0.5, "nodule": 2 / 3, "opacity": 1.0})
    for name in values:
        assert facts[name]["low"] <= values[name] <= facts[name]["high"], name


def test_nothing_decided_has_no_accuracy(config: Evaluation) -> None:
    several = np.ones((6, 3), dtype=bool)
    facts = set_facts(several, PREDICTED, TARGETS, PATIENTS, LABELS, config)
    assert facts["accuracy_decided"]["value"] is None
    assert facts["accuracy_decided"]["reason"] == "there is no such test scan"
    assert facts["coverage"] == {"value": 1.0, "low": 1.0, "high": 1.0}


def test_no_scans_and_no_resamples_give_nulls(config: Evaluation) -> None:
    nothing = set_facts(HELD[:0], PREDICTED[:0], TARGETS[:0], PATIENTS[:0], LABELS, config)
    assert nothing["coverage"]["value"] is None
    assert nothing["by_class"] == dict.fromkeys(LABELS)
    plain = set_facts(HELD, PREDICTED, TARGETS, PATIENTS, LABELS, dataclasses.replace(config, bootstrap=0))
    assert plain["size"]["low"] is None
    assert plain["size"]["value"] == pytest.approx(10 / 6)

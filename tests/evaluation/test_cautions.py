"""Each caution is said where it holds, and only there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from scanlens.evaluation import cautions
from scanlens.evaluation.calibration import TEMPERATURE_RANGE
from scanlens.evaluation.cautions import FEW_PATIENTS, FEW_SCANS
from scanlens.evaluation.intervals import Bootstrap
from scanlens.evaluation.metrics import SCALARS
from scanlens.evaluation.scoring import SplitScore

LABELS = ["normal", "nodule", "opacity"]
CLEAR = dict.fromkeys(SCALARS, 0.9)


def score(**changes: Any) -> SplitScore:
    """A split nothing needs to be said about, with changes."""
    high = dict.fromkeys(SCALARS, 0.95)
    settings: dict[str, Any] = {
        "name": "test", "labels": LABELS, "scans": 90, "patients": FEW_PATIENTS, "unknown_patients": 0,
        "sites": 2, "label_scans": np.array([30, 30, 30]), "label_patients": np.array([10, 10, 10]),
        "metrics": {}, "bootstrap": Bootstrap(CLEAR, high, 200, 0, ""), "confusion": np.zeros((3, 3), int),
    }  # fmt: skip
    return SplitScore(**{**settings, **changes})


def test_a_sound_split_needs_no_word() -> None:
    assert cautions.split_cautions(score()) == []
    assert cautions.test_cautions(score(), majority=0.5) == []


def test_a_promise_that_the_test_split_breaks_is_said() -> None:
    kept = {"coverage": {"value": 0.9, "low": 0.8, "high": 0.96}}
    assert cautions.set_cautions(kept, 0.95) == []
    assert cautions.set_cautions({"coverage": {"value": 0.9, "low": None, "high": None}}, 0.95) == []
    (said,) = cautions.set_cautions({"coverage": {"value": 0.8, "low": 0.7, "high": 0.9}}, 0.95)
    assert said.startswith("Prediction sets hold the true class of 80.0 % of the test scans (70.0 to 90.0)")


def test_an_empty_split_is_the_only_thing_said_of_it() -> None:
    empty = score(scans=0, label_scans=np.zeros(3, int), unknown_patients=4)
    (said,) = cautions.split_cautions(empty)
    assert said.startswith("There is no test scan")
    assert "manifest.split" in said


@pytest.mark.parametrize(
    ("counts", "absent", "rest"),
    [
        ([0, 45, 45], "normal", 2),
        ([0, 0, 90], "normal and nodule", 1),
        ([0, 0, 0], "normal, nodule and opacity", 0),
    ],
)
def test_absent_classes_are_listed_in_words(counts: list[int], absent: str, rest: int) -> None:
    (said,) = cautions.split_cautions(score(label_scans=np.array(counts)))
    assert f"No test scan of {absent}:" in said
    assert f"the other {rest} of 3 classes" in said


def test_missing_intervals_and_unknown_patients_are_said() -> None:
    without = Bootstrap({}, {}, 0, 0, "1 patient(s)")
    said = cautions.split_cautions(score(bootstrap=without, unknown_patients=7, name="val"))
    assert said[0] == "The val metrics have no interval: 1 patient(s)."
    assert "7 of 90 val scans is unknown" in said[1]
    assert len(said) == 2


def test_few_patients_and_rare_classes_start_just_below_the_limits() -> None:
    few = cautions.test_cautions(score(patients=FEW_PATIENTS - 1), 0.5)
    assert few == [f"Intervals are wide and themselves rough: only {FEW_PATIENTS - 1} test patients."]
    rare = np.array([FEW_SCANS, FEW_SCANS - 1, 0])
    (said,) = cautions.test_cautions(score(label_scans=rare), 0.5)
    assert f"nodule ({FEW_SCANS - 1}):" in said
    assert "normal" not in said
    assert "opacity" not in said, "absent classes are told of elsewhere"


def test_accuracy_that_the_majority_reaches_is_no_success() -> None:
    (said,) = cautions.test_cautions(score(), majority=0.9)
    assert "not clearly above 0.900" in said
    assert cautions.test_cautions(score(), majority=0.899) == []


def test_an_interval_of_no_width_is_called_too_narrow() -> None:
    stuck = Bootstrap(CLEAR, {**dict.fromkeys(SCALARS, 0.95), "accuracy": 0.9}, 200, 0, "")
    (said,) = cautions.test_cautions(score(bootstrap=stuck), 0.5)
    assert said.startswith("No resample changed accuracy:")


def test_what_a_fitted_temperature_may_hide() -> None:
    logits = np.array([[2.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    mixed, right = np.array([0, 1, 1]), np.array([0, 1, 0])
    assert cautions.calibration_cautions(1.5, logits, mixed) == []
    assert "no validation scan" in cautions.calibration_cautions(1.0, logits[:0], mixed[:0])[0]
    assert "classified right" in cautions.calibration_cautions(1.0, logits, right)[0]
    for end in TEMPERATURE_RANGE:
        assert f"stopped at {end:g}," in cautions.calibration_cautions(end, logits, mixed)[0]


def test_patients_in_two_splits_are_counted_once_and_unknown_ones_are_not() -> None:
    index = pd.DataFrame(
        {
            "patient": ["a", "a", "a", "b", "b", "c", "", ""],
            "split": ["test", "val", "val", "val", "test", "val", "val", "test"],
        }
    )
    (said,) = cautions.overlap_cautions(index)
    assert said.startswith("2 patient(s)")
    assert cautions.overlap_cautions(index.iloc[5:]) == []

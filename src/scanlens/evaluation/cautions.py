"""What a reader must know before believing the numbers, in plain sentences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from scanlens.estimate import Estimate
from scanlens.evaluation.calibration import TEMPERATURE_RANGE, is_separated
from scanlens.evaluation.metrics import SCALARS
from scanlens.evaluation.scoring import SplitScore
from scanlens.tasks import PositiveClass
from scanlens.types import FloatArray, IntArray

FEW_PATIENTS = 30
"""Fewer test patients than this make wide intervals, and percentile intervals themselves unreliable."""
FEW_SCANS = 10
"""Fewer test scans of a class than this make its own numbers anecdotes."""


def set_cautions(sets: dict[str, Any], confidence: float) -> list[str]:
    """A caution where the prediction sets hold the true class less often than promised.

    Args:
        sets: From :func:`scanlens.evaluation.coverage.set_facts`, of the test split.
        confidence: The promise.

    Example:
        >>> set_cautions({"coverage": {"value": 0.93, "low": 0.9, "high": 0.96}}, 0.95)  # 0.95 is within
        []
        >>> print(*set_cautions({"coverage": {"value": 0.8, "low": 0.75, "high": 0.85}}, 0.95))
        Prediction sets hold the true class of 80.0 % of the test scans (75.0 to 85.0), promised were 95 %:
        the test split differs from the validation split, which also chose epochs.
    """
    coverage = sets["coverage"]
    if not Estimate.from_json(coverage).below(confidence):
        return []
    return [
        f"Prediction sets hold the true class of {100 * coverage['value']:.1f} % of the test scans "
        f"({100 * coverage['low']:.1f} to {100 * coverage['high']:.1f}), promised were "
        f"{100 * confidence:g} %: the test split differs from the validation split, which also chose epochs."
    ]


def positive_cautions(positive: PositiveClass | None) -> list[str]:
    """The question which of two classes is the finding, where neither settings nor names say it."""
    if positive is None or positive.named:
        return []
    return [
        f"Which class is the finding, {positive.label} or {positive.other}? {positive.label} was taken, the "
        "second in order. Set data.positive to the right one."
    ]


def no_scans(split: str) -> str:
    """The caution about a split without a scan.

    Example:
        >>> no_scans("test")
        'There is no test scan: its metrics are null. Look into manifest.split.'
    """
    return f"There is no {split} scan: its metrics are null. Look into manifest.split."


def no_interval(split: str, reason: str) -> str:
    """The caution about metrics without intervals.

    Example:
        >>> no_interval("val", "the bootstrap is switched off")
        'The val metrics have no interval: the bootstrap is switched off.'
    """
    return f"The {split} metrics have no interval: {reason}."


def few_patients(patients: int) -> list[str]:
    """A caution where there are some test patients, but few.

    Example:
        >>> few_patients(12)
        ['Intervals are wide and themselves rough: only 12 test patients.']
        >>> few_patients(30), few_patients(0)
        ([], [])
    """
    if not 0 < patients < FEW_PATIENTS:
        return []
    return [f"Intervals are wide and themselves rough: only {patients} test patients."]


def split_cautions(score: SplitScore) -> list[str]:
    """Cautions about the size and make-up of the val or test split."""
    name = score.name
    if not score.scans:
        return [no_scans(name)]
    found = []
    if score.absent:
        rest = len(score.labels) - len(score.absent)
        found.append(
            f"No {name} scan of {_listed(score.absent)}: their AUC and sensitivity are null, and macro "
            f"values are over the other {rest} of {len(score.labels)} classes."
        )
    if score.bootstrap.reason:
        found.append(no_interval(name, score.bootstrap.reason))
    if score.unknown_patients:
        found.append(
            f"The patient of {score.unknown_patients} of {score.scans} {name} scans is unknown: each counts "
            "as a patient of its own, so intervals may be too narrow and one patient may be in two splits."
        )
    return found


def test_cautions(score: SplitScore, majority: float) -> list[str]:
    """Cautions about how far the test numbers carry.

    Args:
        score: The test split, with at least one scan.
        majority: Accuracy of always answering its most frequent class.
    """
    found = few_patients(score.patients)
    rare = [
        f"{label} ({scans})"
        for label, scans in zip(score.labels, score.label_scans, strict=True)
        if 0 < scans < FEW_SCANS
    ]
    if rare:
        found.append(
            f"Fewer than {FEW_SCANS} test scans of {_listed(rare)}: read these classes' numbers with care."
        )
    if score.bootstrap.low:
        low, high = score.bootstrap.low, score.bootstrap.high
        if low["accuracy"] <= majority:
            found.append(
                f"Accuracy is not clearly above {majority:.3f}, which always answering the most frequent "
                "class reaches."
            )
        collapsed = [name for name in SCALARS if low[name] == high[name]]
        if collapsed:
            found.append(
                f"No resample changed {_listed(collapsed)}: a bootstrap cannot show uncertainty where "
                "every scan fares alike, so the interval is too narrow there."
            )
    return found


def calibration_cautions(temperature: float, logits: FloatArray, targets: IntArray) -> list[str]:
    """Cautions about a fitted temperature.

    Args:
        temperature: As fitted.
        logits: ``(scan, class)`` of the validation split; empty where there was nothing to fit on.
        targets: ``(scan,)``.

    Example:
        >>> logits = np.array([[2.0, 0.0], [2.0, 0.0]])
        >>> calibration_cautions(1.7, logits, np.array([0, 1]))  # one right, one wrong, and within the range
        []
        >>> print(*calibration_cautions(1.0, logits, np.array([0, 0])))
        Every validation scan is classified right, so no temperature can be fitted: probabilities are as the
        network gives them (temperature 1).
    """
    if not len(targets):
        return ["There is no validation scan to calibrate on: probabilities are as the network gives them."]
    if is_separated(logits, targets):
        return [
            "Every validation scan is classified right, so no temperature can be fitted: probabilities are "
            "as the network gives them (temperature 1)."
        ]
    if temperature in TEMPERATURE_RANGE:
        return [
            f"The temperature stopped at {temperature:g}, the end of its range: the validation split does "
            "not support these probabilities."
        ]
    return []


def descent_cautions(first_weights: str, members: IntArray) -> list[str]:
    """Cautions about first weights that have seen what validation scans are, or what descends from them.

    Args:
        first_weights: ``transfer.source`` of the network.
        members: ``(scan,)`` who judged; negative where all networks did.

    Example:
        >>> len(descent_cautions("pretraining", np.array([0, 1, -1])))  # two scans were judged out of fold
        1
        >>> descent_cautions("pretraining", np.array([-1, -1])), descent_cautions("none", np.array([0, 1]))
        ([], [])
    """
    # One network validates on the validation split, and pretraining sees what comes from the training split.
    if first_weights != "pretraining" or not (members >= 0).any():
        return []
    return [
        "The first weights are those of stage pretraining, which saw training scans of every fold or made "
        "scans that descend from them: out-of-fold (val) numbers are slightly too good. Test numbers are not "
        "touched."
    ]


def overlap_cautions(index: pd.DataFrame) -> list[str]:
    """Cautions about patients that are in two splits, among the splits that are there.

    Example:
        >>> index = pd.DataFrame({"patient": ["p1", "p1", "", ""], "split": ["val", "test", "val", "test"]})
        >>> overlap_cautions(index)
        ['1 patient(s) are in more than one split: test numbers are too good to that extent.']
        >>> overlap_cautions(index[2:])  # unknown patients tell nothing
        []
    """
    known = index[index["patient"] != ""]
    splits_of = known.groupby("patient")["split"].nunique()
    shared = int(np.asarray(splits_of > 1).sum())
    if not shared:
        return []
    return [f"{shared} patient(s) are in more than one split: test numbers are too good to that extent."]


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"

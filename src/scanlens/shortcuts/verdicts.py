"""From numbers with intervals to verdicts: found, not found, cannot tell.

A verdict compares an interval with a threshold, the smallest effect that matters: above it altogether, the
shortcut is found; below it altogether, it is not; an interval that holds the threshold cannot tell. All
probes look at the same scans, so their intervals share the error (Bonferroni): with k probes each covers
its value with a confidence of 1 - (1 - confidence) / k.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from scanlens.estimate import Estimate
from scanlens.evaluation.intervals import bootstrap_intervals, patient_codes
from scanlens.types import FloatArray

ProbeVerdict = Literal["found", "not found", "cannot tell"]
Weighted = Callable[[FloatArray], FloatArray]
"""From weights ``(resample, scan)`` to the values ``(resample,)`` of a probe's number."""

_FEW_PATIENTS = 20
"""A percentile interval of fewer test patients is itself unreliable."""
FEW_IN_CLASS = 5
"""At least two classes must have so many patients."""


@dataclass(frozen=True)
class Resampling:
    """What intervals come from.

    Attributes:
        looks: Intervals that share the error.
        resamples: Of the bootstrap.
        confidence: That none of all misses its value.
        seed: Of the resamples.
    """

    looks: int
    resamples: int
    confidence: float
    seed: int


def verdict_of(estimate: Estimate, threshold: float) -> ProbeVerdict:
    """Compare an interval with the smallest effect that matters."""
    if estimate.above(threshold):
        return "found"
    return "not found" if estimate.below(threshold) else "cannot tell"


def joined_verdict(verdicts: Sequence[ProbeVerdict]) -> ProbeVerdict:
    """One verdict where several must all hold: a finding only where each is found."""
    if all(verdict == "found" for verdict in verdicts):
        return "found"
    return "not found" if "not found" in verdicts else "cannot tell"


def too_few(targets: npt.NDArray[np.int64], patients: npt.NDArray[np.object_]) -> str:
    """Why these scans are too few for any verdict, or empty.

    Args:
        targets: Class of each scan.
        patients: Patient of each scan; "" is one of its own.
    """
    codes = patient_codes(patients)
    number = len(np.unique(codes))
    if number < _FEW_PATIENTS:
        return f"there are only {number} test patients, and {_FEW_PATIENTS} are needed"
    held = [len(np.unique(codes[targets == target])) for target in np.unique(targets)]
    if sum(count >= FEW_IN_CLASS for count in held) < 2:
        return f"fewer than two classes have {FEW_IN_CLASS} test patients"
    return ""


def estimates(
    numbers: dict[str, Weighted],
    strata: npt.NDArray[np.int64],
    patients: npt.NDArray[np.object_],
    resampling: Resampling,
) -> dict[str, Estimate]:
    """Values of several numbers with intervals from the same resamples of patients.

    Args:
        numbers: Functions of weights, by name.
        strata: ``(scan,)``; every resample holds each.
        patients: ``(scan,)``.
        resampling: How often, and how surely.
    """

    def metrics(weights: FloatArray) -> dict[str, FloatArray]:
        return {name: number(weights) for name, number in numbers.items()}

    values = {name: float(number(np.ones((1, len(strata))))[0]) for name, number in numbers.items()}
    found = bootstrap_intervals(
        metrics,
        strata,
        patients,
        resamples=resampling.resamples,
        confidence=1 - (1 - resampling.confidence) / max(1, resampling.looks),
        seed=resampling.seed,
    )
    return {name: found.estimate(name, value) for name, value in values.items()}

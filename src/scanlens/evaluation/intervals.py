"""Confidence intervals by resampling patients, not scans.

Scans of one patient resemble each other, so treating them as independent makes intervals too narrow. The
cluster bootstrap draws whole patients with replacement and takes percentiles of each metric: Efron and
Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13 (percentiles); Rutter, "Bootstrap estimation
of diagnostic accuracy with patient-clustered data", Academic Radiology 7:413-419, 2000 (clusters).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import SupportsFloat

import numpy as np
import pandas as pd

from scanlens.estimate import Estimate
from scanlens.evaluation.metrics import all_metrics
from scanlens.types import FloatArray, IntArray

MAX_DRAWS_PER_RESAMPLE = 50
"""A resample lacking a class is drawn again; beyond this many draws for each one wanted, none is reported."""
BIASED = ("ece",)
"""Metrics whose resamples lie too high (a repeated scan widens its bin's gap): their percentiles are moved
down by the bootstrap's own estimate of that bias (Efron and Tibshirani, chapter 10), to no less than 0."""
CHUNK_WEIGHTS = 2_000_000
"""Weights held at once (16 MB), so that memory does not grow with resamples times scans."""


@dataclass(frozen=True)
class Bootstrap:
    """What a bootstrap over patients found: percentile intervals of every metric of one split.

    Attributes:
        low: ``{metric: () or (class,)}`` lower bounds, NaN where undefined; empty where there are none.
        high: Upper bounds, likewise.
        resamples: How many resamples stand behind them.
        redrawn: How many draws were thrown away because a class was missing.
        reason: Why there are no intervals, or empty.
    """

    low: dict[str, FloatArray] = field(default_factory=dict)
    high: dict[str, FloatArray] = field(default_factory=dict)
    resamples: int = 0
    redrawn: int = 0
    reason: str = ""

    def estimate(
        self, name: str, value: SupportsFloat, index: tuple[int, ...] = (), reason: str = ""
    ) -> Estimate:
        """A metric's value with its interval.

        Args:
            name: Of the metric.
            value: Of the metric on all scans.
            index: Index of the class, for metrics that have one a class.
            reason: Why the value is undefined, where it is.
        """
        if not self.low:
            return Estimate(float(value), reason=reason or self.reason)
        return Estimate(float(value), self.low[name][index], self.high[name][index], reason)


def unknown_patient(index: pd.DataFrame) -> pd.Series:
    """Whether each scan's patient is unknown: empty, or the scan's own id, which the manifest puts there.

    Example:
        >>> index = pd.DataFrame({"scan_id": ["a1", "b2", "c3"], "patient": ["p7", "", "sc3"]})
        >>> unknown_patient(index).tolist()
        [False, True, True]
    """
    return (index["patient"] == "") | (index["patient"] == "s" + index["scan_id"].astype(str))


def patient_codes(patients: np.ndarray) -> IntArray:
    """A cluster index a scan, ``(scan,)`` from 0; scans of unknown patient ("") are clusters of their own.

    Example:
        >>> patient_codes(np.array(["p7", "", "p2", "p7", ""])).tolist()
        [0, 2, 1, 0, 3]
    """
    names = np.asarray(patients).astype(str)
    known = names != ""
    codes = np.empty(len(names), dtype=np.int64)
    # By first appearance: the order of pseudonyms depends on a key, and the resamples must not.
    inverse, distinct = pd.factorize(names[known])
    codes[known] = inverse
    codes[~known] = len(distinct) + np.arange(int((~known).sum()))
    return codes


class PatientDraws:
    """Resamples of patients, and how many were thrown away on the way."""

    def __init__(self, codes: IntArray, targets: IntArray, resamples: int, seed: int) -> None:
        self._codes, self._resamples, self._seed = codes, resamples, seed
        self._patients = int(codes.max()) + 1
        present, positions = np.unique(targets, return_inverse=True)
        self._holds = np.zeros((self._patients, len(present)))
        self._holds[codes, positions] = 1.0
        self.kept = 0
        self.redrawn = 0

    def chunks(self) -> Iterator[FloatArray]:
        """Weights ``(resample, scan)``, a chunk at a time, each row holding every class there is."""
        generator = np.random.default_rng(self._seed)
        rows = max(1, min(self._resamples, CHUNK_WEIGHTS // len(self._codes)))
        shares = np.full(self._patients, 1.0 / self._patients)
        limit = MAX_DRAWS_PER_RESAMPLE * self._resamples
        while self.kept < self._resamples and self.kept + self.redrawn < limit:
            counts = generator.multinomial(self._patients, shares, size=rows)
            complete = ((counts @ self._holds) > 0).all(axis=1)
            usable = counts[complete][: self._resamples - self.kept]
            self.kept += len(usable)
            self.redrawn += int((~complete).sum())
            if len(usable):
                yield usable[:, self._codes].astype(np.float64)


def patient_intervals(
    probabilities: FloatArray,
    targets: IntArray,
    patients: np.ndarray,
    *,
    resamples: int,
    confidence: float,
    seed: int,
) -> Bootstrap:
    """Percentile intervals of every metric from a bootstrap over patients.

    Every resample holds each class that the split holds (others are drawn again), because AUC and
    sensitivity do not exist without: the intervals are conditional on that.

    Args:
        probabilities: ``(scan, class)``.
        targets: ``(scan,)`` class indices.
        patients: ``(scan,)`` pseudonyms; "" is unknown and counts as a patient of its own.
        resamples: How many; 0 asks for no intervals.
        confidence: Coverage in (0, 1), e.g. 0.95.
        seed: Same seed, same intervals.

    Example:
        >>> probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]])
        >>> targets, settings = np.array([0, 0, 1, 1]), {"resamples": 200, "confidence": 0.95, "seed": 0}
        >>> found = patient_intervals(probabilities, targets, np.array(["a", "b", "c", "d"]), **settings)
        >>> found.resamples, found.low["accuracy"].shape, found.low["sensitivity"].shape  # one a class
        (200, (), (2,))
        >>> patient_intervals(probabilities, targets, np.array(["a"] * 4), **settings).reason
        '1 patient(s): resampling needs at least two'
    """

    def metrics(weights: FloatArray) -> dict[str, FloatArray]:
        return all_metrics(probabilities, targets, weights)

    return bootstrap_intervals(
        metrics, targets, patients, resamples=resamples, confidence=confidence, seed=seed, biased=BIASED
    )


def bootstrap_intervals(
    metrics: Callable[[FloatArray], dict[str, FloatArray]],
    strata: IntArray,
    patients: np.ndarray,
    *,
    resamples: int,
    confidence: float,
    seed: int,
    biased: tuple[str, ...] = (),
) -> Bootstrap:
    """Percentile intervals of any metrics that are sums over weights.

    Args:
        metrics: From weights ``(resample, scan)`` to ``{name: (resample, ...)}``.
        strata: ``(scan,)`` numbers; every resample holds each. All equal where there are no classes.
        patients: ``(scan,)`` pseudonyms; "" is unknown and counts as a patient of its own.
        resamples: How many; 0 asks for no intervals.
        confidence: Coverage in (0, 1).
        seed: Same seed, same intervals.
        biased: Metrics moved as :data:`BIASED` are.

    Example:
        >>> error, patients = np.array([1.0, 1.0, 3.0, 3.0]), np.array(["a", "a", "b", "b"])
        >>> def mean(weights: FloatArray) -> dict[str, FloatArray]:
        ...     return {"mean": weights @ error / weights.sum(axis=1)}
        >>> settings = {"resamples": 100, "confidence": 0.95, "seed": 0}
        >>> bootstrap_intervals(mean, np.zeros(4, int), patients, **settings).estimate("mean", 2.0).text()
        '2.00 (1.00 to 3.00)'
    """
    if not resamples:
        return Bootstrap(reason="the bootstrap is switched off")
    codes = patient_codes(patients)
    clusters = len(np.unique(codes))
    if clusters < 2:
        return Bootstrap(reason=f"{clusters} patient(s): resampling needs at least two")
    draws = PatientDraws(codes, strata, resamples, seed)
    chunks = [metrics(weights) for weights in draws.chunks()]
    if draws.kept < resamples:
        return Bootstrap(
            redrawn=draws.redrawn,
            reason=f"only {draws.kept} of {draws.kept + draws.redrawn} resamples held every class",
        )
    tail = (1.0 - confidence) / 2.0
    samples = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}
    actual = metrics(np.ones((1, len(strata))))
    for name in biased:
        bias = samples[name].mean(axis=0) - actual[name][0]
        samples[name] = np.maximum(samples[name] - bias, 0.0)
    return Bootstrap(
        low={name: np.asarray(np.quantile(values, tail, axis=0)) for name, values in samples.items()},
        high={name: np.asarray(np.quantile(values, 1.0 - tail, axis=0)) for name, values in samples.items()},
        resamples=draws.kept,
        redrawn=draws.redrawn,
    )

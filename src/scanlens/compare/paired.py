"""Two networks on the same scans: is one better, or was it luck?

The bootstrap draws patients, and for each draw both networks are scored on the same scans, so that what is
hard or easy for both cancels out (Efron and Tibshirani 1993). McNemar's exact test asks the same of accuracy
by the scans that only one of them got right (McNemar 1947); it takes scans for independent, which those of
one patient are not. DeLong's test of AUCs shares that assumption and knows two classes only, so the
bootstrap answers for AUC.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from scanlens.evaluation.intervals import PatientDraws, patient_codes
from scanlens.evaluation.metrics import all_metrics
from scanlens.types import FloatArray, IntArray

COMPARED = ("auc_macro", "accuracy")
RESAMPLES = 2000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Difference:
    """First minus second of one metric.

    Attributes:
        metric: auc_macro or accuracy.
        difference: None where undefined.
        low: Percentile interval over patients; None where there are too few.
        high: Likewise.
        p: Two-sided bootstrap p-value: how far zero lies in the tails.
    """

    metric: str
    difference: float | None
    low: float | None
    high: float | None
    p: float | None


@dataclass(frozen=True)
class Paired:
    """Two networks compared.

    Attributes:
        scans: Of the test split that both predicted.
        patients: Of these scans.
        differences: By metric.
        only_first: Scans that only the first got right.
        only_second: Scans that only the second got right.
        mcnemar: Exact two-sided p-value; scans taken for independent.
        resamples: Behind the intervals.
    """

    scans: int
    patients: int
    differences: tuple[Difference, ...]
    only_first: int
    only_second: int
    mcnemar: float
    resamples: int


def mismatch(first: pd.DataFrame, second: pd.DataFrame) -> str:
    """Why two predictions tables can't be paired, or an empty string."""
    a, b = _test(first), _test(second)
    if not len(a) or not len(b):
        return "a run has no test scan"
    if not _labels(a) and not _labels(b):
        return "the runs predict numbers: AUC and accuracy are of classes"
    if not _labels(a) or not _labels(b):
        return "a run predicts numbers (data.task=regression), and the paired test is of classes"
    if _labels(a) != _labels(b):
        return f"the classes differ ({', '.join(_labels(a))} and {', '.join(_labels(b))})"
    shared = len(set(a.index) & set(b.index))
    if shared != len(a) or shared != len(b):
        return f"the test splits differ ({len(a)} and {len(b)} scans, {shared} in both)"
    if (a["label"] != b.loc[a.index, "label"]).any():
        return "the test scans' labels differ"
    return ""


def paired(first: pd.DataFrame, second: pd.DataFrame, resamples: int = RESAMPLES, seed: int = 0) -> Paired:
    """Compare two predictions tables of the same test scans (:func:`mismatch` must be empty).

    Args:
        first: As stage evaluation writes it: scan_id, patient, split, label, ``probability_<label>``.
        second: Likewise, in any order.
        resamples: Of the bootstrap.
        seed: Same seed, same intervals.
    """
    a = _test(first)
    b = _test(second).loc[a.index]
    labels = _labels(a)
    targets = np.array([labels.index(label) for label in a["label"].astype(str)], dtype=np.int64)
    probabilities = [
        table[[f"probability_{label}" for label in labels]].to_numpy(dtype=np.float64) for table in (a, b)
    ]
    codes = patient_codes(a["patient"].to_numpy())
    draws = PatientDraws(codes, targets, resamples, seed)
    # With one patient there is nothing to draw from.
    chunks = [_gaps(probabilities, targets, w) for w in (draws.chunks() if codes.max() > 0 else ())]
    samples = pd.concat(chunks) if chunks and draws.kept == resamples else pd.DataFrame(columns=COMPARED)
    actual = _gaps(probabilities, targets, np.ones((1, len(targets))))
    right = [p.argmax(axis=1) == targets for p in probabilities]
    only_first, only_second = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    apart = only_first + only_second
    return Paired(
        scans=len(a),
        patients=len(np.unique(codes)),
        differences=tuple(_difference(name, float(actual[name].iloc[0]), samples[name]) for name in COMPARED),
        only_first=only_first,
        only_second=only_second,
        mcnemar=float(binomtest(only_first, apart).pvalue) if apart else 1.0,
        resamples=len(samples),
    )


def _gaps(probabilities: list[FloatArray], targets: IntArray, weights: FloatArray) -> pd.DataFrame:
    """First minus second, a row for each row of weights, a column for each metric."""
    one, other = (all_metrics(p, targets, weights) for p in probabilities)
    return pd.DataFrame({name: one[name] - other[name] for name in COMPARED})


def _difference(name: str, gap: float, samples: pd.Series) -> Difference:
    if not np.isfinite(gap):
        return Difference(name, None, None, None, None)
    if not len(samples):
        return Difference(name, gap, None, None, None)
    tail = (1.0 - CONFIDENCE) / 2.0
    low, high = samples.quantile([tail, 1.0 - tail])
    # One is added to each count: no number of resamples proves a probability of zero.
    below, above = (samples <= 0).sum() + 1, (samples >= 0).sum() + 1
    p = min(1.0, 2.0 * float(min(below, above)) / (len(samples) + 1))
    return Difference(name, gap, float(low), float(high), p)


def _test(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["split"] == "test"].set_index("scan_id")


def _labels(table: pd.DataFrame) -> list[str]:
    prefix = "probability_"
    return [str(c).removeprefix(prefix) for c in table.columns if str(c).startswith(prefix)]

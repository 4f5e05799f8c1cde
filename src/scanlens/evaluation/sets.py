"""Prediction sets in the predictions table, and how well they keep their promise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from scanlens.config.schema import Evaluation
from scanlens.evaluation.intervals import bootstrap_intervals
from scanlens.evaluation.metrics import IntArray
from scanlens.evaluation.report import number
from scanlens.types import FloatArray

ABSTAINED = "abstained"
"""Column: whether the set holds several classes, so that a person has to decide."""
Held = npt.NDArray[np.bool_]


def column(label: str) -> str:
    """Name of the column that says whether a class is in the set."""
    return f"in_set_{label}"


def with_sets(table: pd.DataFrame, held: Held, labels: Sequence[str]) -> pd.DataFrame:
    """The predictions table with ``in_set_<label>``... and :data:`ABSTAINED`, both bool.

    Args:
        table: Predictions.
        held: ``(scan, class)`` from :func:`scanlens.evaluation.conformal.prediction_sets`.
        labels: Class names in order.
    """
    columns = {column(label): held[:, k] for k, label in enumerate(labels)}
    columns[ABSTAINED] = held.sum(axis=1) > 1
    return pd.concat([table, pd.DataFrame(columns, index=table.index)], axis=1)


def set_of(prediction: dict[str, Any], labels: Sequence[str]) -> list[str] | None:
    """Classes in the set of one row of the predictions; None where there are no sets."""
    if ABSTAINED not in prediction:
        return None
    return [label for label in labels if prediction[column(label)]]


def set_facts(
    held: Held,
    predicted: IntArray,
    targets: IntArray,
    patients: np.ndarray,
    labels: Sequence[str],
    config: Evaluation,
) -> dict[str, Any]:
    """How well the sets of one split do.

    Args:
        held: ``(scan, class)``.
        predicted: ``(scan,)`` likeliest classes.
        targets: ``(scan,)`` class indices.
        patients: ``(scan,)`` pseudonyms.
        labels: Class names in order.
        config: Resamples, confidence and seed of the intervals.

    Returns:
        ``{value, low, high}`` of ``coverage`` (share of the scans whose set holds the true class), ``size``
        (classes a set), ``abstained`` (share) and ``accuracy_decided`` (of the other scans); ``by_class`` is
        the coverage of each class. Null where there are no scans to tell from.
    """
    covered = held[np.arange(len(targets)), targets]
    decided = held.sum(axis=1) == 1
    parts = {
        "coverage": (covered.astype(float), np.ones(len(targets))),
        "size": (held.sum(axis=1).astype(float), np.ones(len(targets))),
        "abstained": ((~decided).astype(float), np.ones(len(targets))),
        "accuracy_decided": ((decided & (predicted == targets)).astype(float), decided.astype(float)),
    }

    def shares(weights: FloatArray) -> dict[str, FloatArray]:
        with np.errstate(invalid="ignore"):
            return {name: (weights @ part) / (weights @ whole) for name, (part, whole) in parts.items()}

    intervals = bootstrap_intervals(
        shares,
        targets,
        patients,
        resamples=config.bootstrap if len(targets) else 0,
        confidence=config.confidence,
        seed=config.seed,
    )
    values = {name: share[0] for name, share in shares(np.ones((1, len(targets)))).items()}
    facts: dict[str, Any] = {
        name: {
            "value": number(value),
            "low": number(intervals.low[name]) if intervals.low else None,
            "high": number(intervals.high[name]) if intervals.high else None,
            **({} if np.isfinite(value) else {"reason": "there is no such test scan"}),
        }
        for name, value in values.items()
    }
    facts["by_class"] = {
        label: number(covered[targets == k].mean()) if (targets == k).any() else None
        for k, label in enumerate(labels)
    }
    return facts

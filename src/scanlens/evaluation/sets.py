"""Prediction sets as columns of the predictions table; batch inference reads it too, so it loads little."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

ABSTAINED = "abstained"
"""Column: whether the set holds several classes, so that a person has to decide."""
PredictionSets = npt.NDArray[np.bool_]


def column(label: str) -> str:
    """Name of the column that says whether a class is in the set."""
    return f"in_set_{label}"


def abstains(held: PredictionSets) -> PredictionSets:
    """Where sets ``(..., class)`` hold several classes."""
    return np.asarray(held.sum(axis=-1) > 1)


def with_sets(table: pd.DataFrame, held: PredictionSets, labels: Sequence[str]) -> pd.DataFrame:
    """The predictions table with ``in_set_<label>``... and :data:`ABSTAINED`, both bool.

    Args:
        table: Predictions.
        held: ``(scan, class)`` from :func:`scanlens.evaluation.conformal.prediction_sets`.
        labels: Class names in order.
    """
    columns = {column(label): held[:, k] for k, label in enumerate(labels)}
    columns[ABSTAINED] = abstains(held)
    return pd.concat([table, pd.DataFrame(columns, index=table.index)], axis=1)


def set_of(prediction: dict[str, Any], labels: Sequence[str]) -> list[str] | None:
    """Classes in the set of one row of the predictions; None where there are no sets."""
    if ABSTAINED not in prediction:
        return None
    return [label for label in labels if prediction[column(label)]]

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
    """Name of the column that says whether a class is in the set.

    Example:
        >>> column("nodule")
        'in_set_nodule'
    """
    return f"in_set_{label}"


def abstains(held: PredictionSets) -> PredictionSets:
    """Where sets ``(..., class)`` hold several classes.

    Example:
        >>> abstains(np.array([[True, False], [True, True]])).tolist()
        [False, True]
    """
    return np.asarray(held.sum(axis=-1) > 1)


def with_sets(table: pd.DataFrame, held: PredictionSets, labels: Sequence[str]) -> pd.DataFrame:
    """The predictions table with ``in_set_<label>``... and :data:`ABSTAINED`, both bool.

    Args:
        table: Predictions.
        held: ``(scan, class)`` from :func:`scanlens.evaluation.conformal.prediction_sets`.
        labels: Class names in order.

    Example:
        >>> table = pd.DataFrame({"scan_id": ["a1", "b2"]})
        >>> with_sets(table, np.array([[True, False], [True, True]]), ["normal", "nodule"])
          scan_id  in_set_normal  in_set_nodule  abstained
        0      a1           True          False      False
        1      b2           True           True       True
    """
    columns = {column(label): held[:, k] for k, label in enumerate(labels)}
    columns[ABSTAINED] = abstains(held)
    return pd.concat([table, pd.DataFrame(columns, index=table.index)], axis=1)


def set_of(prediction: dict[str, Any], labels: Sequence[str]) -> list[str] | None:
    """Classes in the set of one row of the predictions; None where there are no sets.

    Example:
        >>> row = {"in_set_normal": False, "in_set_nodule": True, "abstained": False}
        >>> set_of(row, ["normal", "nodule"])
        ['nodule']
        >>> set_of({"predicted": "nodule"}, ["normal", "nodule"]) is None
        True
    """
    if ABSTAINED not in prediction:
        return None
    return [label for label in labels if prediction[column(label)]]

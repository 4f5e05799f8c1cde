"""Does the network know where a scan comes from, and does that go with the label?

A column of the manifest that the features tell is harmless as long as it says nothing of the label, and one
that goes with the label is harmless as long as the network cannot see it. Where both are high the network may
judge by origin (Zech et al. 2018, PLOS Medicine 15).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from scanlens.shortcuts.verdicts import FEW_IN_CLASS
from scanlens.types import FloatArray, IntArray

_MOST_VALUES = 10
"""A column of more values is no origin but a name."""
_NOT_ORIGINS = ("scan_id", "patient", "group", "label", "split", "fold", "path", "mask", "source", "status")
_FOLDS = 5
_SEED = 0


@dataclass(frozen=True)
class Origin:
    """One column, without the scans whose value is unknown or of too few patients.

    Attributes:
        column: Its name.
        positions: Positions of the scans that are left.
        values: The different values, sorted.
        codes: Each scan's index in ``values``, ``(len(positions),)``.
    """

    column: str
    positions: IntArray
    values: list[str]
    codes: IntArray


def origins(index: pd.DataFrame) -> Iterator[Origin]:
    """Columns of text with a few values, each of several patients.

    Args:
        index: Of the store, the scans in question only.
    """
    for name in index.columns:
        if name in _NOT_ORIGINS or not all(isinstance(value, str) for value in index[name].dropna()):
            continue
        text = index[name].fillna("").astype(str).str.strip()
        if text.nunique() > len(index) / 2:
            continue
        people = index["patient"].where(index["patient"] != "", index["scan_id"])
        held = people.groupby(text).nunique()
        kept = sorted(str(value) for value, count in held.items() if value and count >= FEW_IN_CLASS)
        if 2 <= len(kept) <= _MOST_VALUES:
            positions = np.flatnonzero(text.isin(kept))
            codes = pd.Categorical(text.iloc[positions], categories=kept).codes
            yield Origin(str(name), positions, kept, np.asarray(codes, np.int64))


def predicted_from_features(
    features: FloatArray, codes: IntArray, patients: npt.NDArray[np.object_]
) -> FloatArray | None:
    """Probabilities of each value, from features of scans of other patients.

    A logistic regression (scikit-learn) on standardised features, cross-validated with patients kept whole.

    Args:
        features: ``(scan, feature)``.
        codes: The value of each scan, from 0.
        patients: ``(scan,)``.

    Returns:
        ``(scan, value)``; None where a value cannot be in training and test folds both.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    people = pd.factorize(patients)[0]
    fewest = min(len(np.unique(people[codes == code])) for code in np.unique(codes))
    splitter = StratifiedGroupKFold(min(_FOLDS, fewest), shuffle=True, random_state=_SEED)
    told = np.zeros((len(codes), int(codes.max()) + 1))
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, class_weight="balanced", max_iter=500))
    with warnings.catch_warnings():
        # A value of fewer scans than folds is still told once a scan; features of a constant network converge
        # nowhere and say nothing.
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        for train, test in splitter.split(features, codes, people):
            if len(np.unique(codes[train])) < told.shape[1]:
                return None
            model.fit(features[train], codes[train])
            told[test] = model.predict_proba(features[test])
    return told

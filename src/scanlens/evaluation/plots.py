"""The curves behind the pictures, as tables that DVC plots and spreadsheets read."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.metrics import roc_curve

from scanlens.evaluation.metrics import reliability
from scanlens.types import FloatArray, IntArray


def roc_table(
    probabilities: FloatArray, targets: IntArray, labels: list[str], only: str | None = None
) -> pd.DataFrame:
    """ROC points of each class against the rest: columns class, fpr, tpr.

    Classes without a positive or a negative have none.

    Args:
        probabilities: ``(scan, class)``.
        targets: ``(scan,)``.
        labels: Class names.
        only: The positive one of two classes, which share one curve up to reflection. None: every class.

    Example:
        >>> probabilities = np.array([[0.9, 0.1], [0.3, 0.7], [0.6, 0.4], [0.2, 0.8]])
        >>> roc_table(probabilities, np.array([0, 0, 1, 1]), ["normal", "nodule"], only="nodule")
            class  fpr  tpr
        0  nodule  0.0  0.0
        1  nodule  0.0  0.5
        2  nodule  0.5  0.5
        3  nodule  0.5  1.0
        4  nodule  1.0  1.0
    """
    curves = []
    for k, label in enumerate(labels):
        if only not in (None, label):
            continue
        positive = targets == k
        if positive.any() and not positive.all():
            fpr, tpr, _ = roc_curve(positive, probabilities[:, k])
            curves.append(pd.DataFrame({"class": label, "fpr": fpr, "tpr": tpr}))
    return pd.concat(curves, ignore_index=True) if curves else pd.DataFrame(columns=["class", "fpr", "tpr"])


def confusion_table(predictions: pd.DataFrame) -> pd.DataFrame:
    """One row per scan: columns actual, predicted.

    Example:
        >>> predictions = {"label": ["nodule", "normal"], "predicted": ["nodule", "nodule"]}
        >>> confusion_table(pd.DataFrame(predictions))
           actual predicted
        0  nodule    nodule
        1  normal    nodule
    """
    return pd.DataFrame({"actual": predictions["label"], "predicted": predictions["predicted"]})


def reliability_table(before: FloatArray, after: FloatArray, targets: IntArray) -> pd.DataFrame:
    """Filled bins of the reliability diagram before and after calibration.

    Args:
        before: ``(scan, class)`` probabilities at temperature 1.
        after: Calibrated ones.
        targets: ``(scan,)``.

    Returns:
        Columns calibration (before, after), low, high (edges of the bin), confidence, accuracy, scans.

    Example:
        >>> before, after = np.array([[0.99, 0.01]] * 4), np.array([[0.74, 0.26]] * 4)
        >>> reliability_table(before, after, np.array([0, 0, 0, 1])).round(2)
          calibration   low  high  confidence  accuracy  scans
        0      before  0.93   1.0        0.99      0.75      4
        1       after  0.73   0.8        0.74      0.75      4
    """
    tables = []
    for name, probabilities in (("before", before), ("after", after)):
        bins = reliability(probabilities, targets)
        filled = np.flatnonzero(bins.scans)
        tables.append(
            pd.DataFrame(
                {
                    "calibration": name,
                    "low": bins.edges[filled],
                    "high": bins.edges[filled + 1],
                    "confidence": bins.confidence[filled],
                    "accuracy": bins.accuracy[filled],
                    "scans": bins.scans[filled],
                }
            )
        )
    return pd.concat(tables, ignore_index=True)

"""The numbers of one split, by scikit-learn where it has them.

Conventions, stated once:
    - ``probabilities`` is ``(scan, class)`` float64 whose rows sum to 1, ``targets`` ``(scan,)`` int64 class
      indices. The predicted class is the one with the largest probability (the first at a tie).
    - AUC is one class against the rest, from probabilities, never from predicted classes. Of two classes
      both have the ordinary AUC of the second one, which ``labels[1]`` calls positive.
    - A macro value is the mean over the classes that occur among the targets.
    - What is undefined (AUC without a negative, sensitivity without a positive) is NaN here and null in JSON.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from sklearn import metrics as sklearn_metrics

from scanlens.types import FloatArray

IntArray: TypeAlias = npt.NDArray[np.int64]

SCALARS = (
    "auc_macro",
    "accuracy",
    "balanced_accuracy",
    "f1_macro",
    "sensitivity_macro",
    "specificity_macro",
    "nll",
    "brier",
    "ece",
)
"""One number a split, in the order reports show them."""
PER_CLASS = ("auc", "sensitivity", "specificity", "f1")
"""One number a class."""
ECE_BINS = 15
"""Equal-width bins of confidence, as in Guo et al. 2017."""


@dataclass(frozen=True)
class Reliability:
    """Confidence against accuracy in equal-width bins of the largest probability.

    Attributes:
        edges: ``(bin + 1,)`` from 0 to 1; a bin holds its lower edge.
        scans: ``(bin,)`` how many scans fall in.
        confidence: ``(bin,)`` mean largest probability, NaN where empty.
        accuracy: ``(bin,)`` share of right predictions, NaN where empty.
    """

    edges: FloatArray
    scans: IntArray
    confidence: FloatArray
    accuracy: FloatArray


def all_metrics(probabilities: FloatArray, targets: IntArray) -> dict[str, FloatArray]:
    """Every metric of one split.

    Args:
        probabilities: ``(scan, class)``.
        targets: ``(scan,)``; may be empty or lack classes.

    Returns:
        ``{name: ()}`` for :data:`SCALARS` and ``{name: (class,)}`` for :data:`PER_CLASS`.
    """
    classes = probabilities.shape[1]
    if not len(targets):
        undefined = {name: np.float64(np.nan) for name in SCALARS}
        return {name: np.asarray(value) for name, value in undefined.items()} | {
            name: np.full(classes, np.nan) for name in PER_CLASS
        }
    predicted = probabilities.argmax(axis=1)
    auc = auc_per_class(probabilities, targets)
    sensitivity = sensitivity_per_class(predicted, targets, classes)
    specificity = specificity_per_class(predicted, targets, classes)
    f1 = f1_per_class(predicted, targets, classes)
    present = np.unique(targets)
    scalars = {
        "auc_macro": mean_of_defined(auc),
        "accuracy": sklearn_metrics.accuracy_score(targets, predicted),
        # The mean sensitivity is what balanced accuracy is for any number of classes.
        "balanced_accuracy": mean_of_defined(sensitivity),
        "f1_macro": f1[present].mean(),
        "sensitivity_macro": mean_of_defined(sensitivity),
        "specificity_macro": mean_of_defined(specificity[present]),
        "nll": nll(probabilities, targets),
        "brier": brier(probabilities, targets),
        "ece": ece(probabilities, targets),
    }
    return {name: np.asarray(value, dtype=np.float64) for name, value in scalars.items()} | {
        "auc": auc,
        "sensitivity": sensitivity,
        "specificity": specificity,
        "f1": f1,
    }


def mean_of_defined(values: FloatArray) -> float:
    """Mean of the values that are not NaN; NaN where none is left."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")


def auc_per_class(probabilities: FloatArray, targets: IntArray) -> FloatArray:
    """Area under the ROC curve of each class against the rest, ``(class,)`` in [0, 1] or NaN."""
    classes = probabilities.shape[1]
    if classes == 2:
        return np.full(2, _auc(targets == 1, probabilities[:, 1]))
    return np.array([_auc(targets == k, probabilities[:, k]) for k in range(classes)])


def _auc(positive: npt.NDArray[np.bool_], score: FloatArray) -> float:
    if positive.all() or not positive.any():
        return float("nan")
    return float(sklearn_metrics.roc_auc_score(positive, score))


def auc_macro(probabilities: FloatArray, targets: IntArray) -> float:
    """Mean of :func:`auc_per_class` over the classes where it is defined."""
    return mean_of_defined(auc_per_class(probabilities, targets))


def confusion(predicted: IntArray, targets: IntArray, classes: int) -> IntArray:
    """Counts ``(actual class, predicted class)``."""
    if not len(targets):
        return np.zeros((classes, classes), dtype=np.int64)
    return np.asarray(sklearn_metrics.confusion_matrix(targets, predicted, labels=np.arange(classes)))


def sensitivity_per_class(predicted: IntArray, targets: IntArray, classes: int) -> FloatArray:
    """Share of a class's scans that are predicted as it, ``(class,)``; NaN for a class without scans."""
    recall = sklearn_metrics.recall_score(
        targets, predicted, labels=np.arange(classes), average=None, zero_division=np.nan
    )
    return np.asarray(recall, dtype=np.float64)


def specificity_per_class(predicted: IntArray, targets: IntArray, classes: int) -> FloatArray:
    """Share of the other classes' scans that are not predicted as it, ``(class,)``; NaN without any."""
    negatives = np.array([(targets != k).sum() for k in range(classes)])
    kept = np.array([((targets != k) & (predicted != k)).sum() for k in range(classes)])
    return np.divide(kept, negatives, out=np.full(classes, np.nan), where=negatives > 0)


def f1_per_class(predicted: IntArray, targets: IntArray, classes: int) -> FloatArray:
    """Harmonic mean of precision and sensitivity, ``(class,)``; NaN where neither actual nor predicted."""
    f1 = sklearn_metrics.f1_score(
        targets, predicted, labels=np.arange(classes), average=None, zero_division=np.nan
    )
    return np.asarray(f1, dtype=np.float64)


def nll(probabilities: FloatArray, targets: IntArray) -> float:
    """Mean negative log-likelihood of the true class in nats, probabilities clipped at float64's epsilon."""
    return float(sklearn_metrics.log_loss(targets, probabilities, labels=np.arange(probabilities.shape[1])))


def brier(probabilities: FloatArray, targets: IntArray) -> float:
    """Brier score by scikit-learn's convention.

    Two classes: mean squared error of the positive probability, in [0, 1]. More: squared errors summed over
    the classes, in [0, 2] (Brier 1950).
    """
    classes = np.arange(probabilities.shape[1])
    if len(classes) == 2:
        return float(
            sklearn_metrics.brier_score_loss(targets, probabilities[:, 1], labels=classes, pos_label=1)
        )
    return float(sklearn_metrics.brier_score_loss(targets, probabilities, labels=classes))


def confidence_bins(confidence: FloatArray, bins: int = ECE_BINS) -> IntArray:
    """Index of the equal-width bin of each confidence in [0, 1]; a bin holds its lower edge."""
    edges = np.linspace(0.0, 1.0, bins + 1)
    return np.clip(np.searchsorted(edges, confidence, side="right") - 1, 0, bins - 1)


def reliability(probabilities: FloatArray, targets: IntArray, bins: int = ECE_BINS) -> Reliability:
    """Confidence against accuracy, the table behind a reliability diagram."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == targets
    bin_of = confidence_bins(confidence, bins)
    scans = np.bincount(bin_of, minlength=bins)
    empty = np.full(bins, np.nan)
    filled = scans > 0
    return Reliability(
        edges=np.linspace(0.0, 1.0, bins + 1),
        scans=scans,
        confidence=np.divide(
            np.bincount(bin_of, confidence, minlength=bins), scans, out=empty.copy(), where=filled
        ),
        accuracy=np.divide(np.bincount(bin_of, right, minlength=bins), scans, out=empty.copy(), where=filled),
    )


def ece(probabilities: FloatArray, targets: IntArray, bins: int = ECE_BINS) -> float:
    """Expected calibration error in [0, 1]: mean gap of confidence and accuracy over bins, by their scans.

    Method: Naeini, Cooper and Hauskrecht, AAAI 2015; largest probability, as in Guo et al. 2017.
    """
    table = reliability(probabilities, targets, bins)
    filled = table.scans > 0
    gaps = np.abs(table.confidence[filled] - table.accuracy[filled])
    return float(np.average(gaps, weights=table.scans[filled]))

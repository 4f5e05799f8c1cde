"""The metrics of one split, or of many resamples of it at once.

Conventions, stated once:
    - ``probabilities`` is ``(scan, class)`` float64 whose rows sum to 1, ``targets`` ``(scan,)`` int64 class
      indices. The predicted class is the one with the largest probability (the first at a tie).
    - ``weights`` is ``(resample, scan)``, not negative: a scan drawn three times has weight 3, so a bootstrap
      needs no copying and no loop. Results have a first axis ``resample`` then. Every class among the targets
      must keep some weight. Without weights every scan counts once and there is no such axis.
    - AUC is one class against the rest, from probabilities, never from predicted classes. Of two classes
      both have the ordinary AUC, which is the same whichever is positive.
    - A macro value is the mean over the classes that occur among the targets.
    - What is undefined (AUC without a negative, sensitivity without a positive) is NaN here and null in JSON.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scanlens.types import FloatArray, IntArray

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


def all_metrics(
    probabilities: FloatArray, targets: IntArray, weights: FloatArray | None = None
) -> dict[str, FloatArray]:
    """Every metric of one split, or of every row of weights.

    Args:
        probabilities: ``(scan, class)``.
        targets: ``(scan,)``; may lack classes, and be empty where there are no weights.
        weights: ``(resample, scan)``, or None for each scan once.

    Returns:
        ``{name: ()}`` for :data:`SCALARS` and ``{name: (class,)}`` for :data:`PER_CLASS`, with a first axis
        ``resample`` where there are weights.

    Example:
        >>> probabilities, targets = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]]), np.array([0, 1, 1])
        >>> found = all_metrics(probabilities, targets)
        >>> round(float(found["accuracy"]), 3), found["sensitivity"].tolist()  # of the split, of each class
        (0.667, [1.0, 0.5])
        >>> twice = np.array([[1.0, 1.0, 1.0], [1.0, 2.0, 0.0]])  # the second resample drew scan 1 twice
        >>> all_metrics(probabilities, targets, twice)["accuracy"].round(3).tolist()
        [0.667, 0.333]
    """
    classes = probabilities.shape[1]
    if weights is None:
        if not len(targets):
            return {name: np.asarray(np.nan) for name in SCALARS} | {
                name: np.full(classes, np.nan) for name in PER_CLASS
            }
        found = all_metrics(probabilities, targets, np.ones((1, len(targets))))
        return {name: np.asarray(values[0]) for name, values in found.items()}
    present = np.unique(targets)
    predicted = probabilities.argmax(axis=1)
    actual_class, predicted_class = np.eye(classes)[targets], np.eye(classes)[predicted]
    own = probabilities[np.arange(len(targets)), targets]
    surprise = -np.log(np.clip(own, np.finfo(np.float64).eps, 1.0))
    # Of two classes the squared error of one probability, as scikit-learn has it, else the sum (Brier 1950).
    squared = ((probabilities - actual_class) ** 2).sum(axis=1) * (0.5 if classes == 2 else 1.0)
    # One product: it is nearly all of the work.
    columns = [
        actual_class,
        predicted_class,
        actual_class * predicted_class,
        np.stack([surprise, squared], 1),
    ]
    sums = weights @ np.concatenate(columns, axis=1)
    actual, answered, true_positive, losses = np.split(sums, [classes, 2 * classes, 3 * classes], axis=1)
    total = weights.sum(axis=1)
    sensitivity = _ratio(true_positive, actual)
    specificity = _ratio(total[:, None] - actual - answered + true_positive, total[:, None] - actual)
    f1 = _ratio(2.0 * true_positive, actual + answered)
    auc = auc_per_class(probabilities, targets, weights)
    sensitivity_macro = sensitivity[:, present].mean(axis=1)
    return {
        # With fewer than two classes every AUC is NaN, and so is their mean.
        "auc_macro": auc[:, present].mean(axis=1),
        "accuracy": true_positive.sum(axis=1) / total,
        # The mean sensitivity is what balanced accuracy is for any number of classes.
        "balanced_accuracy": sensitivity_macro,
        "f1_macro": f1[:, present].mean(axis=1),
        "sensitivity_macro": sensitivity_macro,
        "specificity_macro": specificity[:, present].mean(axis=1),
        # In nats, probabilities clipped at float64's epsilon.
        "nll": losses[:, 0] / total,
        "brier": losses[:, 1] / total,
        "ece": ece(probabilities, targets, weights),
        "auc": auc,
        "sensitivity": sensitivity,
        "specificity": specificity,
        "f1": f1,
    }


def _ratio(part: FloatArray, whole: FloatArray) -> FloatArray:
    return np.divide(part, whole, out=np.full_like(part, np.nan), where=whole > 0)


def auc_per_class(
    probabilities: FloatArray, targets: IntArray, weights: FloatArray | None = None
) -> FloatArray:
    """Area under the ROC curve of each class against the rest, ``([resample,] class)`` in [0, 1] or NaN.

    Example:
        >>> probabilities = np.array([[0.7, 0.2, 0.1], [0.3, 0.4, 0.3], [0.5, 0.3, 0.2]])
        >>> auc_per_class(probabilities, np.array([0, 1, 1])).tolist()  # no scan of the last class
        [1.0, 1.0, nan]
    """
    if weights is None:
        return auc_per_class(probabilities, targets, np.ones((1, len(targets))))[0]
    classes = probabilities.shape[1]
    if classes == 2:
        return np.repeat(weighted_auc(probabilities[:, 1], targets == 1, weights)[:, None], 2, axis=1)
    return np.stack(
        [weighted_auc(probabilities[:, k], targets == k, weights) for k in range(classes)], axis=1
    )


def weighted_auc(score: FloatArray, positive: npt.NDArray[np.bool_], weights: FloatArray) -> FloatArray:
    """AUC for every row of weights, by the Mann-Whitney statistic: positives above negatives, ties half.

    Args:
        score: ``(scan,)``, larger means more likely positive.
        positive: ``(scan,)``.
        weights: ``(resample, scan)``.

    Returns:
        ``(resample,)`` in [0, 1] or NaN.

    Example:
        >>> score, positive = np.array([0.1, 0.4, 0.4, 0.8]), np.array([False, False, True, True])
        >>> weighted_auc(score, positive, np.array([[1.0, 1.0, 1.0, 1.0], [0.0, 1.0, 1.0, 0.0]])).tolist()
        [0.875, 0.5]
    """
    order = np.argsort(score, kind="stable")
    ranked = score[order]
    starts = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))
    in_order = weights[:, order]
    above = np.add.reduceat(in_order * positive[order], starts, axis=1)
    below = np.add.reduceat(in_order * ~positive[order], starts, axis=1)
    negatives_passed = below.cumsum(axis=1) - 0.5 * below
    return _ratio((above * negatives_passed).sum(axis=1), above.sum(axis=1) * below.sum(axis=1))


def auc_macro(probabilities: FloatArray, targets: IntArray) -> float:
    """Mean of :func:`auc_per_class` over the classes that occur.

    Example:
        >>> probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.2, 0.8]])
        >>> auc_macro(probabilities, np.array([0, 0, 1, 1]))
        0.75
    """
    return float(auc_per_class(probabilities, targets)[np.unique(targets)].mean())


def confusion(predicted: IntArray, targets: IntArray, classes: int) -> IntArray:
    """Counts ``(actual class, predicted class)``.

    Example:
        >>> confusion(np.array([0, 1, 1]), np.array([0, 0, 1]), 2).tolist()
        [[1, 1], [0, 1]]
    """
    counts = np.bincount(targets * classes + predicted, minlength=classes**2)
    return counts.reshape(classes, classes)


def confidence_bins(confidence: FloatArray, bins: int = ECE_BINS) -> IntArray:
    """Index of the equal-width bin of each confidence in [0, 1]; a bin holds its lower edge.

    Example:
        >>> confidence_bins(np.array([0.0, 0.5, 0.99, 1.0]), bins=2).tolist()
        [0, 1, 1, 1]
    """
    edges = np.linspace(0.0, 1.0, bins + 1)
    return np.clip(np.searchsorted(edges, confidence, side="right") - 1, 0, bins - 1)


def reliability(probabilities: FloatArray, targets: IntArray, bins: int = ECE_BINS) -> Reliability:
    """Confidence against accuracy, the table behind a reliability diagram.

    Example:
        >>> probabilities = np.array([[0.8, 0.2], [0.8, 0.2], [0.4, 0.6], [0.4, 0.6]])
        >>> bins = reliability(probabilities, np.array([0, 1, 1, 1]), bins=4)
        >>> bins.edges.tolist(), bins.scans.tolist()
        ([0.0, 0.25, 0.5, 0.75, 1.0], [0, 0, 2, 2])
        >>> bins.confidence.round(2).tolist(), bins.accuracy.tolist()
        ([nan, nan, 0.6, 0.8], [nan, nan, 1.0, 0.5])
    """
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


def ece(probabilities: FloatArray, targets: IntArray, weights: FloatArray | None = None) -> FloatArray:
    """Expected calibration error in [0, 1]: mean gap of confidence and accuracy over bins, by their scans.

    Method: Naeini, Cooper and Hauskrecht, AAAI 2015; largest probability, as in Guo et al. 2017.

    Returns:
        ``()``, or ``(resample,)`` where there are weights.

    Example:
        >>> probabilities = np.array([[0.8, 0.2]] * 4)
        >>> round(float(ece(probabilities, np.array([0, 0, 0, 1]))), 2)
        0.05
    """
    if weights is None:
        return ece(probabilities, targets, np.ones((1, len(targets))))[0]
    confidence = probabilities.max(axis=1)
    gap = confidence - (probabilities.argmax(axis=1) == targets)
    in_bin = np.eye(ECE_BINS)[confidence_bins(confidence)]
    return np.abs(weights @ (in_bin * gap[:, None])).sum(axis=1) / weights.sum(axis=1)

"""The metrics of many resamples at once: each resample is a row of weights over the same scans.

A scan drawn three times has weight 3, so a bootstrap needs no copying and no loop: the formulas of
:mod:`scanlens.evaluation.metrics` become sums over weights. Weights of one give that module's values.
"""

from __future__ import annotations

import numpy as np

from scanlens.evaluation.metrics import ECE_BINS, IntArray, confidence_bins
from scanlens.types import FloatArray


def weighted_metrics(
    probabilities: FloatArray, targets: IntArray, weights: FloatArray
) -> dict[str, FloatArray]:
    """Every metric for every row of weights.

    Args:
        probabilities: ``(scan, class)``.
        targets: ``(scan,)``, at least one.
        weights: ``(resample, scan)``, not negative; every class among the targets must keep some weight.

    Returns:
        ``{name: (resample,)}`` and ``{name: (resample, class)}``, named as
        :func:`scanlens.evaluation.metrics.all_metrics` does.
    """
    classes = probabilities.shape[1]
    present = np.unique(targets)
    total = weights.sum(axis=1)
    counts = weighted_confusion(probabilities.argmax(axis=1), targets, classes, weights)
    true_positive = np.einsum("rkk->rk", counts)
    actual, answered = counts.sum(axis=2), counts.sum(axis=1)
    true_negative = total[:, None] - actual - answered + true_positive
    sensitivity = _ratio(true_positive, actual)
    specificity = _ratio(true_negative, total[:, None] - actual)
    f1 = _ratio(2.0 * true_positive, actual + answered)
    auc = weighted_auc_per_class(probabilities, targets, weights)
    own = probabilities[np.arange(len(targets)), targets]
    surprise = -np.log(np.clip(own, np.finfo(np.float64).eps, 1.0))
    squared = ((probabilities - np.eye(classes)[targets]) ** 2).sum(axis=1) * (0.5 if classes == 2 else 1.0)
    return {
        # With fewer than two classes every AUC is NaN, and so is their mean.
        "auc_macro": auc[:, present].mean(axis=1),
        "accuracy": true_positive.sum(axis=1) / total,
        "balanced_accuracy": sensitivity[:, present].mean(axis=1),
        "f1_macro": f1[:, present].mean(axis=1),
        "sensitivity_macro": sensitivity[:, present].mean(axis=1),
        "specificity_macro": specificity[:, present].mean(axis=1),
        "nll": weights @ surprise / total,
        "brier": weights @ squared / total,
        "ece": weighted_ece(probabilities, targets, weights),
        "auc": auc,
        "sensitivity": sensitivity,
        "specificity": specificity,
        "f1": f1,
    }


def _ratio(part: FloatArray, whole: FloatArray) -> FloatArray:
    return np.divide(part, whole, out=np.full_like(part, np.nan), where=whole > 0)


def weighted_confusion(
    predicted: IntArray, targets: IntArray, classes: int, weights: FloatArray
) -> FloatArray:
    """Confusion matrices ``(resample, actual class, predicted class)``."""
    cell = np.eye(classes * classes)[targets * classes + predicted]
    return (weights @ cell).reshape(len(weights), classes, classes)


def weighted_auc_per_class(probabilities: FloatArray, targets: IntArray, weights: FloatArray) -> FloatArray:
    """One-against-rest AUCs ``(resample, class)``; NaN without a positive or a negative."""
    classes = probabilities.shape[1]
    if classes == 2:
        return np.repeat(weighted_auc(probabilities[:, 1], targets == 1, weights)[:, None], 2, axis=1)
    return np.stack(
        [weighted_auc(probabilities[:, k], targets == k, weights) for k in range(classes)], axis=1
    )


def weighted_auc(score: FloatArray, positive: np.ndarray, weights: FloatArray) -> FloatArray:
    """AUC for every row of weights, by the Mann-Whitney statistic: positives above negatives, ties half.

    Args:
        score: ``(scan,)``, larger means more likely positive.
        positive: ``(scan,)`` bool.
        weights: ``(resample, scan)``.

    Returns:
        ``(resample,)`` in [0, 1] or NaN.
    """
    order = np.argsort(score, kind="stable")
    ranked = score[order]
    starts = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))
    in_order = weights[:, order]
    above = np.add.reduceat(in_order * positive[order], starts, axis=1)
    below = np.add.reduceat(in_order * ~positive[order], starts, axis=1)
    negatives_passed = below.cumsum(axis=1) - 0.5 * below
    return _ratio((above * negatives_passed).sum(axis=1), above.sum(axis=1) * below.sum(axis=1))


def weighted_ece(probabilities: FloatArray, targets: IntArray, weights: FloatArray) -> FloatArray:
    """Expected calibration errors ``(resample,)``: the bins' summed gaps over the summed weight."""
    confidence = probabilities.max(axis=1)
    gap = confidence - (probabilities.argmax(axis=1) == targets)
    in_bin = np.eye(ECE_BINS)[confidence_bins(confidence)]
    return np.abs(weights @ (in_bin * gap[:, None])).sum(axis=1) / weights.sum(axis=1)

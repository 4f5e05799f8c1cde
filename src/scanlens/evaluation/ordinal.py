"""How far off predictions of ordered classes are: a neighbour taken for the class is the smaller mistake.

The predicted class is the likeliest one, as for every other metric. All formulas are sums over weights, so
that the bootstrap of :mod:`scanlens.evaluation.intervals` needs no loop; weights of one give plain values.
"""

from __future__ import annotations

import numpy as np

from scanlens.config.schema import Evaluation
from scanlens.estimate import Estimate
from scanlens.evaluation.intervals import bootstrap_intervals
from scanlens.types import FloatArray, IntArray

ORDINAL = ("mae_classes", "within_one", "kappa_quadratic")
"""Metrics of ordered classes, in the order reports show them."""


def ordinal_metrics(
    predicted: IntArray, targets: IntArray, classes: int, weights: FloatArray
) -> dict[str, FloatArray]:
    """The metrics for every row of weights.

    Args:
        predicted: ``(scan,)`` class numbers.
        targets: ``(scan,)`` class numbers, at least one.
        classes: Number of labels.
        weights: ``(resample, scan)``, not negative.

    Returns:
        ``{name: (resample,)}``: ``mae_classes`` (mean absolute error in classes), ``within_one`` (share at
        most one class off) and ``kappa_quadratic`` (Cohen 1968, "Weighted kappa": agreement beyond chance,
        squared distances as weights; NaN where chance alone agrees).

    Example:
        >>> targets, each_once = np.array([0, 1, 2, 3]), np.ones((1, 4))
        >>> found = ordinal_metrics(np.array([0, 1, 2, 1]), targets, 4, each_once)  # one scan two classes off
        >>> {name: round(float(value[0]), 3) for name, value in found.items()}
        {'mae_classes': 0.5, 'within_one': 0.75, 'kappa_quadratic': 0.5}
    """
    total = weights.sum(axis=1)
    off = np.abs(predicted - targets)
    cell = np.eye(classes * classes)[targets * classes + predicted]
    shares = (weights @ cell).reshape(-1, classes, classes) / total[:, None, None]
    by_chance = shares.sum(axis=2)[:, :, None] * shares.sum(axis=1)[:, None, :]
    ranks = np.arange(classes)
    squares = (ranks[:, None] - ranks[None, :]) ** 2.0
    expected = (squares * by_chance).sum(axis=(1, 2))
    found = (squares * shares).sum(axis=(1, 2))
    ratio = np.divide(found, expected, out=np.full_like(found, np.nan), where=expected > 0)
    return {
        "mae_classes": weights @ off.astype(np.float64) / total,
        "within_one": weights @ (off <= 1).astype(np.float64) / total,
        "kappa_quadratic": 1 - ratio,
    }


def ordinal_estimates(
    probabilities: FloatArray, targets: IntArray, patients: np.ndarray, config: Evaluation
) -> dict[str, Estimate]:
    """The metrics of one split, intervals over patients.

    Args:
        probabilities: ``(scan, class)``.
        targets: ``(scan,)``.
        patients: ``(scan,)`` pseudonyms.
        config: Resamples, confidence and seed.

    Example:
        >>> probabilities, targets = np.array([[0.8, 0.1, 0.1], [0.1, 0.1, 0.8]] * 2), np.array([0, 1, 0, 2])
        >>> config = Evaluation(200, 0.95, "temperature", 0)
        >>> found = ordinal_estimates(probabilities, targets, np.array(["a", "b", "c", "d"]), config)
        >>> found["mae_classes"].value, found["within_one"].text()  # nothing is more than one class off
        (0.25, '1.00 (1.00 to 1.00)')
    """
    if not len(targets):
        return dict.fromkeys(ORDINAL, Estimate(None, reason="there is no scan"))
    predicted, classes = probabilities.argmax(axis=1), probabilities.shape[1]

    def metrics(weights: FloatArray) -> dict[str, FloatArray]:
        return ordinal_metrics(predicted, targets, classes, weights)

    values = metrics(np.ones((1, len(targets))))
    found = bootstrap_intervals(
        metrics, targets, patients, resamples=config.bootstrap, confidence=config.confidence, seed=config.seed
    )
    reason = "all scans have one class, and all were predicted so"
    return {name: found.estimate(name, values[name][0], reason=reason) for name in ORDINAL}

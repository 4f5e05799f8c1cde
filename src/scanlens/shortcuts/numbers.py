"""The probes' numbers as functions of weights, so that a bootstrap needs no copying of scans."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from scanlens.evaluation.metrics import auc_per_class
from scanlens.shortcuts.verdicts import Weighted
from scanlens.types import FloatArray, IntArray


def auc(probabilities: FloatArray, targets: IntArray) -> Weighted:
    """AUC, each class that occurs against the rest, mean over classes.

    Args:
        probabilities: ``(scan, class)``.
        targets: ``(scan,)``.
    """
    present = np.unique(targets)

    def weighted(weights: FloatArray) -> FloatArray:
        return auc_per_class(probabilities, targets, weights)[:, present].mean(axis=1)

    return weighted


def accuracy(probabilities: FloatArray, targets: IntArray) -> Weighted:
    """Share of scans predicted right."""
    return mean((probabilities.argmax(axis=1) == targets).astype(np.float64))


def mean(values: FloatArray) -> Weighted:
    """Mean of a value a scan, ``(scan,)``; NaN stands for a scan that has none."""
    has = np.isfinite(values)
    filled = np.where(has, values, 0.0)

    def weighted(weights: FloatArray) -> FloatArray:
        return _ratio(weights @ filled, weights @ has.astype(np.float64))

    return weighted


def ratio_of_means(above: FloatArray, below: FloatArray) -> Weighted:
    """Mean of one value over the mean of another, both ``(scan,)``; NaN where the latter is zero."""

    def weighted(weights: FloatArray) -> FloatArray:
        return _ratio(weights @ above, weights @ below)

    return weighted


def paired_difference(first: Weighted, second: Weighted) -> Weighted:
    """One number less another on the same resamples: a paired difference."""

    def weighted(weights: FloatArray) -> FloatArray:
        return first(weights) - second(weights)

    return weighted


def strongest_rank_correlation(values: FloatArray, many: FloatArray) -> Weighted:
    """Spearman's correlation of a value with the one of several that it goes with most on all scans.

    Ranks are taken once, over all scans; resamples weigh them.

    Args:
        values: ``(scan,)``.
        many: ``(scan, class)``.
    """
    ranks = rankdata(values)
    others = rankdata(many, axis=0)
    whole = np.ones((1, len(values)))
    strength = [abs(_correlation(ranks, column, whole)[0]) for column in others.T]
    best = others[:, int(np.nanargmax(strength))] if np.isfinite(strength).any() else others[:, 0]
    sign = np.sign(_correlation(ranks, best, whole)[0])

    def weighted(weights: FloatArray) -> FloatArray:
        return sign * _correlation(ranks, best, weights)

    return weighted


def association(first: IntArray, second: IntArray) -> Weighted:
    """Cramér's V of two columns of codes, without its bias.

    Bergsma 2013, "A bias-correction for Cramér's V and Tschuprow's T", Journal of the Korean Statistical
    Society 42: by chance alone V is above 0, the more so the fewer the scans and the more the values.

    Args:
        first: ``(scan,)`` from 0.
        second: ``(scan,)`` from 0.
    """
    rows, columns = int(first.max()) + 1, int(second.max()) + 1
    cell = np.eye(rows * columns)[first * columns + second]

    def weighted(weights: FloatArray) -> FloatArray:
        counts = (weights @ cell).reshape(len(weights), rows, columns)
        total = counts.sum(axis=(1, 2))
        expected = (
            counts.sum(axis=2, keepdims=True) * counts.sum(axis=1, keepdims=True) / total[:, None, None]
        )
        squares = np.divide((counts - expected) ** 2, expected, out=np.zeros_like(counts), where=expected > 0)
        share = squares.sum(axis=(1, 2)) / total
        excess = np.maximum(0, share - (rows - 1) * (columns - 1) / (total - 1))
        least = np.minimum(*(side - (side - 1) ** 2 / (total - 1) for side in (rows, columns)))
        return np.minimum(np.sqrt(_ratio(excess, least - 1)), 1.0)

    return weighted


def _correlation(first: FloatArray, second: FloatArray, weights: FloatArray) -> FloatArray:
    total = weights.sum(axis=1)
    means = weights @ first / total, weights @ second / total
    together = weights @ (first * second) / total - means[0] * means[1]
    spreads = [
        weights @ column**2 / total - own**2 for column, own in zip((first, second), means, strict=True)
    ]
    product = np.sqrt(np.maximum(spreads[0] * spreads[1], 0))
    return np.divide(together, product, out=np.full_like(together, np.nan), where=product > 1e-12)


def _ratio(part: FloatArray, whole: FloatArray) -> FloatArray:
    return np.divide(part, whole, out=np.full_like(part, np.nan), where=whole > 0)

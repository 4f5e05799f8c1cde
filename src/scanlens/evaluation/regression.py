"""Metrics of predicted numbers, for one split or for many resamples of it at once.

A scan drawn three times has weight 3, as in :mod:`scanlens.evaluation.metrics`; weights of one give plain
values, which are scikit-learn's and scipy's.
"""

from __future__ import annotations

import numpy as np

from scanlens.types import FloatArray

NUMBER_METRICS = ("mae", "rmse", "r2", "pearson", "spearman")
"""In the order reports show them."""


def number_metrics(predicted: FloatArray, targets: FloatArray, weights: FloatArray) -> dict[str, FloatArray]:
    """Every metric for every row of weights.

    Args:
        predicted: ``(scan,)``.
        targets: ``(scan,)``, at least one.
        weights: ``(resample, scan)``, whole numbers, not negative.

    Returns:
        ``{name: (resample,)}``: ``mae`` and ``rmse`` in the label's unit, ``r2`` (share of the variance
        explained: 0 for always the mean), ``pearson`` and ``spearman`` (correlation of values and of ranks).
        NaN where undefined: all labels, or all predictions, are equal.

    Example:
        >>> targets, each_once = np.array([10.0, 20.0, 30.0]), np.ones((1, 3))
        >>> found = number_metrics(np.array([12.0, 20.0, 34.0]), targets, each_once)
        >>> {name: round(float(value[0]), 3) for name, value in found.items()}
        {'mae': 2.0, 'rmse': 2.582, 'r2': 0.9, 'pearson': 0.988, 'spearman': 1.0}
    """
    total = weights.sum(axis=1)
    error = predicted - targets
    squared = weights @ error**2
    mean = weights @ targets / total
    spread = (weights * (targets[None] - mean[:, None]) ** 2).sum(axis=1)
    ranks = [weighted_ranks(values, weights) for values in (predicted, targets)]
    return {
        "mae": weights @ np.abs(error) / total,
        "rmse": np.sqrt(squared / total),
        "r2": 1 - np.divide(squared, spread, out=np.full_like(squared, np.nan), where=spread > 0),
        "pearson": _correlation(predicted[None], targets[None], weights),
        "spearman": _correlation(ranks[0], ranks[1], weights),
    }


def weighted_ranks(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Mean ranks ``(resample, scan)`` of values of which scan i was drawn ``weights[:, i]`` times.

    Args:
        values: ``(scan,)``.
        weights: ``(resample, scan)``.

    Example:
        >>> each_once, twice = [1.0, 1.0, 1.0], [1.0, 2.0, 0.0]
        >>> weighted_ranks(np.array([5.0, 7.0, 7.0]), np.array([each_once, twice])).tolist()  # ties share one
        [[1.0, 2.5, 2.5], [1.0, 2.5, 2.5]]
    """
    order = np.argsort(values, kind="stable")
    ranked = values[order]
    new = np.concatenate([[True], ranked[1:] != ranked[:-1]])
    sizes = np.add.reduceat(weights[:, order], np.flatnonzero(new), axis=1)
    means = sizes.cumsum(axis=1) - (sizes - 1) / 2
    ranks = np.empty_like(weights)
    ranks[:, order] = means[:, np.cumsum(new) - 1]
    return ranks


def _correlation(first: FloatArray, second: FloatArray, weights: FloatArray) -> FloatArray:
    total = weights.sum(axis=1, keepdims=True)
    one = first - (weights * first).sum(axis=1, keepdims=True) / total
    other = second - (weights * second).sum(axis=1, keepdims=True) / total
    both = (weights * one * other).sum(axis=1)
    scale = np.sqrt((weights * one**2).sum(axis=1) * (weights * other**2).sum(axis=1))
    # A constant has a variance of rounding errors, not of 0.
    least = 1e-12 * total[:, 0] * np.abs(first).max() * np.abs(second).max()
    return np.divide(both, scale, out=np.full_like(both, np.nan), where=scale > least)

"""Split-conformal promises: how far off a predicted number may be, which classes can't be ruled out.

Lei, G'Sell, Rinaldo, Tibshirani and Wasserman 2018, "Distribution-free predictive inference for regression";
Sadinle, Lei and Wasserman 2019, "Least ambiguous set-valued classifiers with bounded error levels". A new
scan's number lies within the interval, its class within the set, with at least the confidence asked for, if
the scan is exchangeable with those that width or threshold were measured on.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from scanlens.types import FloatArray


def half_width(residuals: FloatArray, confidence: float) -> float | None:
    """The smallest half width that keeps the promise, in the label's unit.

    Args:
        residuals: ``(scan,)`` of scans that were not learnt from.
        confidence: In (0, 1).

    Returns:
        The ``ceil((n + 1) confidence)``-th smallest absolute residual; None where n scans are too few for
        this confidence.

    Example:
        >>> half_width(np.arange(1.0, 20.0), 0.95)
        19.0
        >>> half_width(np.arange(1.0, 10.0), 0.95) is None
        True
    """
    rank = _rank(len(residuals), confidence)
    return None if rank is None else float(np.sort(np.abs(residuals))[rank - 1])


def set_threshold(
    probabilities: FloatArray, targets: npt.NDArray[np.int64], confidence: float
) -> float | None:
    """The largest probability of a class to be in a scan's set that keeps the promise.

    Args:
        probabilities: ``(scan, class)`` of scans that were not learnt from.
        targets: ``(scan,)`` class indices.
        confidence: In (0, 1).

    Returns:
        The ``ceil((n + 1) confidence)``-th largest probability of a true class; None where n scans are too
        few for this confidence.

    Example:
        >>> own = np.linspace(0.05, 0.95, 19)
        >>> probabilities = np.stack([own, 1 - own], axis=1)
        >>> round(set_threshold(probabilities, np.zeros(19, int), 0.9), 2)
        0.1
    """
    own = probabilities[np.arange(len(targets)), targets]
    rank = _rank(len(own), confidence)
    return None if rank is None else float(np.sort(own)[::-1][rank - 1])


def prediction_sets(probabilities: FloatArray, threshold: float) -> npt.NDArray[np.bool_]:
    """Which classes each scan's set holds.

    The likeliest class is in it whatever its probability: an empty set would promise no more and say less.

    Args:
        probabilities: ``(scan, class)``.
        threshold: From :func:`set_threshold`.

    Returns:
        ``(scan, class)``.

    Example:
        >>> prediction_sets(np.array([[0.6, 0.3, 0.1], [0.1, 0.2, 0.7]]), 0.25).tolist()
        [[True, True, False], [False, False, True]]
    """
    held = probabilities >= threshold
    held[np.arange(len(held)), probabilities.argmax(axis=1)] = True
    return held


def _rank(scans: int, confidence: float) -> int | None:
    """Which of the sorted scores keeps the promise, from 1; None where the scans are too few."""
    # 1e-9: 0.95 * 20 is 19.000000000000004 in some orders of rounding.
    rank = math.ceil((scans + 1) * confidence - 1e-9)
    return rank if rank <= scans else None

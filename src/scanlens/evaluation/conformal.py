"""How far off a predicted number may be: split-conformal intervals of one width.

Lei, G'Sell, Rinaldo, Tibshirani and Wasserman 2018, "Distribution-free predictive inference for regression".
A new scan's number lies within the interval with at least the confidence asked for, if it is exchangeable
with the scans the width was measured on.
"""

from __future__ import annotations

import math

import numpy as np

from scanlens.types import FloatArray


def half_width(residuals: FloatArray, confidence: float) -> float | None:
    """The smallest half width that keeps the promise, in the label's unit.

    Args:
        residuals: ``(scan,)`` of scans that were not learnt from.
        confidence: In (0, 1).

    Returns:
        The ``ceil((n + 1) confidence)``-th smallest absolute residual; None where n scans are too few for
        this confidence.
    """
    # 1e-9: 0.95 * 20 is 19.000000000000004 in some orders of rounding.
    place = math.ceil((len(residuals) + 1) * confidence - 1e-9)
    if place > len(residuals):
        return None
    return float(np.sort(np.abs(residuals))[place - 1])

"""How much the networks of one classifier differ, each on the scans it never learnt from."""

from __future__ import annotations

from typing import Any

import numpy as np

from scanlens.evaluation.metrics import SCALARS, all_metrics
from scanlens.types import FloatArray, IntArray


def spread_over_members(probabilities: FloatArray, targets: IntArray, members: IntArray) -> dict[str, Any]:
    """Metrics of each member on its fold, and their spread.

    Args:
        probabilities: ``(scan, class)``, calibrated, each by the member that judged.
        targets: ``(scan,)`` class indices.
        members: ``(scan,)`` member numbers.

    Returns:
        ``count``, ``scans`` of each fold, and ``spread``: ``{metric: {values, mean, std, low, high}}``, std
        with n - 1. Values are null where a fold does not define the metric; the rest is over the others.

    Example:
        >>> probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3]])
        >>> found = spread_over_members(probabilities, np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1]))
        >>> found["count"], found["scans"], found["spread"]["accuracy"]["values"]
        (2, [2, 2], [1.0, 0.5])
        >>> found["spread"]["accuracy"]["mean"], round(found["spread"]["accuracy"]["std"], 3)
        (0.75, 0.354)
    """
    numbers = np.unique(members)
    found = [all_metrics(probabilities[members == n], targets[members == n]) for n in numbers]
    spread: dict[str, dict[str, Any]] = {}
    for name in SCALARS:
        values = np.array([float(metrics[name]) for metrics in found])
        known = values[np.isfinite(values)]
        spread[name] = {
            "values": [float(value) if np.isfinite(value) else None for value in values],
            "mean": float(known.mean()) if len(known) else None,
            "std": float(known.std(ddof=1)) if len(known) > 1 else None,
            "low": float(known.min()) if len(known) else None,
            "high": float(known.max()) if len(known) else None,
        }
    return {
        "count": len(numbers),
        "scans": [int((members == number).sum()) for number in numbers],
        "spread": spread,
    }

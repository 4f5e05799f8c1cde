"""Labels that are numbers (task ``regression``): reading them, and bins where something must count classes.

Splits, folds and the search for shortcuts want classes. For numbers these are the bins between quantiles, so
that every split holds small and large ones in like shares.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

MOST_BINS = 5
BIN_SCANS = 10
"""Scans a bin holds at least: fewer scans, fewer bins."""

_Numbers = npt.NDArray[np.floating[Any]]


def is_number(label: str) -> bool:
    """Whether a label is a finite number, written with a decimal point."""
    try:
        return math.isfinite(float(label))
    except ValueError:
        return False


def as_numbers(labels: pd.Series) -> _Numbers:
    """Labels as float64 ``(scan,)``; every one must be a number."""
    return labels.astype(float).to_numpy(dtype=np.float64)


def quantile_bins(labels: pd.Series) -> pd.Series:
    """Name the quantile bin of each label, e.g. ``0.25 to 0.5``.

    Args:
        labels: Text, every one a finite number.

    Returns:
        Names, indexed like ``labels``: at most :data:`MOST_BINS` different ones of at least about
        :data:`BIN_SCANS` scans each. Equal labels share a bin, so frequent ones make fewer bins.
    """
    numbers = as_numbers(labels)
    count = min(MOST_BINS, max(1, len(numbers) // BIN_SCANS))
    inner = np.unique(np.quantile(numbers, np.arange(1, count) / count)) if len(numbers) else np.zeros(0)
    codes = np.searchsorted(inner, numbers, side="right")
    names = np.full(len(numbers), "", dtype=object)
    for code in np.unique(codes):
        inside = numbers[codes == code]
        names[codes == code] = f"{inside.min():.4g} to {inside.max():.4g}"
    return pd.Series(names, index=labels.index, dtype=object)

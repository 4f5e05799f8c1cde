"""What the network's input is shifted and scaled by: of the training rows, in one pass over the store."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import numpy as np

from scanlens.atomic import write_json
from scanlens.errors import SettingsError
from scanlens.preprocess.store import Store
from scanlens.types import IntArray

STD_FLOOR = 1e-3
"""Least standard deviation: scans of one grey value must not be divided by zero."""
Range: TypeAlias = Literal["zscore", "unit", "centred", "symmetric"]
_FIXED: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"unit": (0.0, 1.0), "centred": (0.5, 1.0), "symmetric": (0.5, 0.5)}
)
"""Shift and scale of the ranges that no scan decides: [0, 1], [-0.5, 0.5] and [-1, 1]."""


def training_statistics(store: Store, target: Range = "zscore") -> dict[str, Any]:
    """Compute the statistics of the training rows; padding counts, as the network sees it too.

    Args:
        store: The store; no row of val or test is read.
        target: Section preprocess's ``range``. ``zscore``: by the training rows' mean and (population)
            standard deviation, at least :data:`STD_FLOOR`. Others: :data:`_FIXED`.

    Returns:
        ``mean`` and ``std``: what :func:`scanlens.preprocess.intensity.standardise` takes off each channel
        and divides it by, in units of the [0, 1] range; ``scans``: the training rows; ``range``.

    Raises:
        SettingsError: There are no training rows.
    """
    rows = store.rows("train")
    if not len(rows):
        raise SettingsError(f"{store.folder}: no training scan.", "Run the manifest stage again.")
    mean, std = _moments(store, rows) if target == "zscore" else _fixed(store, target)
    return {"mean": mean, "std": std, "scans": len(rows), "range": target}


def _fixed(store: Store, target: Range) -> tuple[list[float], list[float]]:
    shift, scale = _FIXED[target]
    return [shift] * store.shape[0], [scale] * store.shape[0]


def _moments(store: Store, rows: IntArray) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel."""
    total = np.zeros(store.shape[0])
    squares = np.zeros(store.shape[0])
    # One at a time: a row stays in the processor's cache for all that is done to it.
    for row in rows:
        by_channel = store.read([row])[0].reshape(store.shape[0], -1).astype(np.float64)
        total += by_channel.sum(axis=1)
        squares += np.einsum("cv,cv->c", by_channel, by_channel)
    count = len(rows) * int(np.prod(store.shape[1:]))
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0))
    return mean.tolist(), np.maximum(std, STD_FLOOR).tolist()


def write_statistics(store: Store, target: Range = "zscore") -> dict[str, Any]:
    """Compute the statistics, write them into the store's folder and return them."""
    statistics = training_statistics(store, target)
    write_json(store.folder / "statistics.json", statistics)
    return statistics

"""Mean and standard deviation of the training rows, in one pass over the store."""

from __future__ import annotations

from typing import Any

import numpy as np

from scanlens.atomic import write_json
from scanlens.errors import SettingsError
from scanlens.preprocess.store import Store

STD_FLOOR = 1e-3
"""Least standard deviation: scans of one grey value must not be divided by zero."""
_VALUES_AT_A_TIME = 4_000_000


def training_statistics(store: Store) -> dict[str, Any]:
    """Compute the statistics of the training rows; padding counts, as the network sees it too.

    Args:
        store: The store; no row of val or test is read.

    Returns:
        ``mean`` and ``std`` (population, at least :data:`STD_FLOOR`): a number a channel, in units of the
        [0, 1] range; ``scans``: the training rows.

    Raises:
        SettingsError: There are no training rows.
    """
    rows = store.rows("train")
    if not len(rows):
        raise SettingsError(f"{store.folder}: no training scan.", "Run the manifest stage again.")
    step = max(1, _VALUES_AT_A_TIME // int(np.prod(store.shape)))
    total = np.zeros(store.shape[0])
    squares = np.zeros(store.shape[0])
    for start in range(0, len(rows), step):
        batch = store.read(rows[start : start + step]).astype(np.float64)
        by_channel = batch.swapaxes(0, 1).reshape(store.shape[0], -1)
        total += by_channel.sum(axis=1)
        squares += np.square(by_channel).sum(axis=1)
    count = len(rows) * int(np.prod(store.shape[1:]))
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0))
    return {
        "mean": mean.tolist(),
        "std": np.maximum(std, STD_FLOOR).tolist(),
        "scans": len(rows),
    }


def write_statistics(store: Store) -> dict[str, Any]:
    """Compute the statistics, write them into the store's folder and return them."""
    statistics = training_statistics(store)
    write_json(store.folder / "statistics.json", statistics)
    return statistics

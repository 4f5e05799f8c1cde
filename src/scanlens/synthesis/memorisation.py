"""Are made scans copies of training scans?

Each made scan's distance to its nearest training scan is compared with the distances from training scans to
their nearest neighbours. A near copy scores below almost all of these. It finds copies of a whole scan, not
of a detail in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from scanlens.synthesis.resize import from_store
from scanlens.types import FloatArray, ImageArray

_SIDE = {2: 32, 3: 16}
"""Side at which scans are compared, by dimension."""
PERCENTILE = 1.0
"""Made scans nearer than this percentile of the training scans' own distances are reported."""
SAME = 1e-4
"""Nearer than this is one scan twice: a data set with copies says nothing about how near others come."""


def descriptors(scans: ImageArray) -> FloatArray:
    """Scans as unit vectors whose products are normalised cross-correlations.

    Args:
        scans: ``(scan, channel, *spatial)``.

    Returns:
        float32 ``(scan, value)``; a constant scan becomes zeros.
    """
    flat = from_store(torch.as_tensor(scans), _SIDE[scans.ndim - 2]).flatten(1).numpy()
    flat = flat - flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.divide(flat, length, out=np.zeros_like(flat), where=length > 1e-6)


def nearest_distances(
    queries: FloatArray, blocks: Iterable[FloatArray], *, skip_same: bool = False
) -> FloatArray:
    """Distance (1 - correlation) of each query to the nearest of all others, block by block.

    Args:
        queries: Descriptors ``(query, value)``.
        blocks: Descriptors of the others, a block at a time.
        skip_same: Leave out others nearer than ``SAME``, the query itself among them.

    Returns:
        ``(query,)``, from 0 to 2.
    """
    nearest = np.full(len(queries), 2.0, dtype=np.float32)
    for block in blocks:
        distances = 1 - queries @ block.T
        if skip_same:
            distances[distances < SAME] = 2.0
        nearest = np.minimum(nearest, distances.min(axis=1))
    return np.clip(nearest, 0, 2)


def report(made: FloatArray, training: FloatArray) -> dict[str, Any]:
    """Compare nearest distances.

    Args:
        made: Of made scans to training scans.
        training: Of training scans to other training scans.
    """
    threshold = float(np.percentile(training, PERCENTILE))
    return {
        "threshold": threshold,
        "share_closer": float((made < threshold).mean()),
        "made_median": float(np.median(made)),
        "made_least": float(made.min()),
        "training_median": float(np.median(training)),
    }

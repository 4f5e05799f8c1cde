"""The audit of a made store against the training split: fidelity and memorisation, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from tqdm import tqdm

from scanlens.preprocess.store import Store
from scanlens.synthesis.fidelity import features, frechet_distance, intensity
from scanlens.synthesis.memorisation import descriptors, nearest_distances, report
from scanlens.types import FloatArray, ImageArray, IntArray

_BLOCK = 32
"""Scans in memory at one time."""
QUERIES = 256
"""Made scans, and training scans, whose nearest training scan is looked for."""
FIDELITY_SCANS = 512
"""Scans of each class and kind that the fidelity is computed from."""


def audit(store: Store, rows: IntArray, made: Store, seed: int) -> dict[str, Any]:
    """Compare made scans with training scans.

    Args:
        store: The preprocessed scans.
        rows: Rows of the training split.
        made: The made scans.
        seed: Chooses the samples.

    Returns:
        ``fidelity`` by class, and ``memorisation`` (None where there are fewer than three training scans).
    """
    random = np.random.default_rng(seed)
    made_rows = np.arange(len(made))
    fidelity = {}
    for label, name in enumerate(store.labels):
        real = _sample(rows[store.targets(rows) == label], FIDELITY_SCANS, random)
        drawn = _sample(made_rows[made.targets(made_rows) == label], FIDELITY_SCANS, random)
        if len(real) and len(drawn):
            fidelity[name] = _compare(store, real, made, drawn)
    return {"fidelity": fidelity, "memorisation": _memorisation(store, rows, made, made_rows, random)}


def _compare(store: Store, real: IntArray, made: Store, drawn: IntArray) -> dict[str, Any]:
    """Fidelity of one class."""
    found: dict[str, Any] = {
        "training": intensity(_blocks(store, real)),
        "made": intensity(_blocks(made, drawn)),
        "frechet": None,
        "frechet_training_halves": None,
    }
    if min(len(real), len(drawn)) >= 4:
        true = np.concatenate([features(block) for block in _blocks(store, real)])
        false = np.concatenate([features(block) for block in _blocks(made, drawn)])
        found["frechet"] = frechet_distance(true, false)
        found["frechet_training_halves"] = frechet_distance(true[::2], true[1::2])
    return found


def _memorisation(
    store: Store, rows: IntArray, made: Store, made_rows: IntArray, random: np.random.Generator
) -> dict[str, Any] | None:
    """Nearest neighbours of made and of training scans, in one pass over the training split."""
    if len(rows) < 3 or not len(made_rows):
        return None
    drawn = _vectors(made, _sample(made_rows, QUERIES, random))
    real = _vectors(store, _sample(rows, QUERIES, random))
    near_made = np.full(len(drawn), 2.0)
    near_real = np.full(len(real), 2.0)
    total = -(-len(rows) // _BLOCK)
    for block in tqdm(_blocks(store, rows), total=total, desc="synthesis audit", unit="block"):
        others = descriptors(block)
        near_made = np.minimum(near_made, nearest_distances(drawn, [others]))
        near_real = np.minimum(near_real, nearest_distances(real, [others], skip_same=True))
    return report(near_made, near_real)


def _sample(rows: IntArray, most: int, random: np.random.Generator) -> IntArray:
    """At most so many of the rows, in a random order."""
    return random.permutation(rows)[:most]


def _blocks(store: Store, rows: IntArray) -> Iterator[ImageArray]:
    """Read rows a few at a time."""
    for start in range(0, len(rows), _BLOCK):
        yield store.read(rows[start : start + _BLOCK])


def _vectors(store: Store, rows: IntArray) -> FloatArray:
    """Descriptors of rows."""
    return np.concatenate([descriptors(block) for block in _blocks(store, rows)])

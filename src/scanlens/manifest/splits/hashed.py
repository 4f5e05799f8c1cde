"""Split by a hash of each patient: where a patient goes depends on nothing else in the data set.

Scans and patients added later move no earlier one. The price: sizes and class ratios are those of chance,
copies under two patients' names may be parted (the leakage gate then says so), and another pseudonym key
gives another split.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd

from scanlens.config.schema import SplitConfig
from scanlens.manifest.splits.deal import Names, Numbers
from scanlens.manifest.splits.folds import NO_FOLD, splits_of
from scanlens.manifest.splits.groups import IntArray
from scanlens.types import SPLITS


def hashed_splits(scans: pd.DataFrame, config: SplitConfig) -> tuple[Names, IntArray]:
    """Deal each patient by its hash; a scan of unknown patient by its content.

    Args:
        scans: Columns patient (pseudonym; empty, or s and the scan's id, where unknown) and sha256.
        config: Fractions or folds, and seed.

    Returns:
        ``(scan,)`` names and fold numbers (-1 without folds).
    """
    numbers = hash_numbers(scans, config.seed)
    if config.folds:
        folds = np.floor(numbers * config.folds).astype(np.int64)
        return splits_of(folds, config.folds, config.fold), folds
    bounds = np.cumsum([config.fractions[name] for name in SPLITS])[:-1]
    places = np.searchsorted(bounds, numbers, side="right")
    return np.array(SPLITS, dtype=object)[places], np.full(len(scans), NO_FOLD, dtype=np.int64)


def hash_numbers(scans: pd.DataFrame, seed: int) -> Numbers:
    """Hash each scan's patient (or content) and the seed to a number in [0, 1): ``(scan,)``."""
    # A repetition's patient is s, the id and a running number: only the content says that it is one.
    unknown = (scans["patient"] == "") | (scans["patient"].str[:17] == "s" + scans["sha256"].str[:16])
    keys = scans["patient"].where(~unknown, scans["sha256"])
    return np.array([_hash_number(f"{seed} {key}") for key in keys], dtype=np.float64)


def _hash_number(text: str) -> float:
    # 53 bits are what a double holds exactly: all 64 could round up to 1.
    return (int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 11) / 2**53

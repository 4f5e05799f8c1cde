"""The class-balanced bank: augmented copies of training scans, made once and kept as a store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from scanlens.augmentation.policy import build_policy
from scanlens.augmentation.sheet import write_policy_sheet
from scanlens.config.schema import Augmentation
from scanlens.errors import SettingsError
from scanlens.preprocess.store import Store, StoreWriter
from scanlens.types import IntArray

_SHARD_ROWS = 1024
_BLOCK = 32
"""Copies in memory at one time."""
BANK_COLUMNS = ("scan_id", "patient", "label", "split", "site", "path", "parents", "seed")
"""The index: ``patient`` and ``site`` are the parent's, ``parents`` its scan_id, ``path`` is empty."""


def build_bank(store: Store, config: Augmentation, output: Path) -> dict[str, Any]:
    """Write the bank's store and its contact sheet. Only training scans have copies.

    Numbers (task ``regression``) have no classes to balance: their bank stays empty, and training changes
    its scans anew each epoch all the same.

    Args:
        store: The preprocessed scans.
        config: The settings.
        output: The folder to write.

    Returns:
        ``made``, ``training_scans``, ``before`` and ``after`` (scans a class, the copies counted in).

    Raises:
        SettingsError: Nothing is to be trained on.
    """
    policy = build_policy(config.policy, len(store.shape) - 1, store.shape[0])
    rows = store.rows("train")
    if not len(rows):
        raise SettingsError("augmentation: the training split is empty.", "Check manifest.split.")
    targets = store.task.class_numbers(store.targets(rows))
    before = np.bincount(targets, minlength=len(store.labels))
    limit = int((config.max_factor - 1) * len(rows)) if config.balance else 0
    copies = copies_of_classes(before, limit)
    random = np.random.default_rng(config.seed)
    parents = _choose_parents(rows, targets, copies, random)
    seeds = random.integers(2**31, size=len(parents))
    index = _index(store, parents, seeds)
    with StoreWriter(output, store.shape, store.labels, _SHARD_ROWS, store.task.name) as writer:
        with tqdm(total=len(parents), desc="augmentation", unit="scan") as progress:
            for start in range(0, len(parents), _BLOCK):
                block = slice(start, start + _BLOCK)
                for image in policy.apply_batch(store.read(parents[block]), seeds[block]):
                    writer.append(image)
                progress.update(len(parents[block]))
        writer.close(index)
    write_policy_sheet(output / "sheet.png", store, policy, config.seed)
    return {
        "made": len(parents),
        "training_scans": len(rows),
        "before": dict(zip(store.labels, before.tolist(), strict=True)),
        "after": dict(zip(store.labels, (before + copies).tolist(), strict=True)),
    }


def copies_of_classes(counts: IntArray, limit: int) -> IntArray:
    """Copies to make of each class so that the classes come as near to the largest as ``limit`` allows.

    The smallest classes are raised first, to a common level ("water filling"). A class without scans stays
    empty.

    Args:
        counts: Training scans of each class.
        limit: Copies allowed in all.

    Returns:
        Copies of each class, at most ``limit`` together.
    """
    present = counts > 0

    def needed(level: int) -> IntArray:
        return np.where(present, np.maximum(level - counts, 0), 0)

    level, too_high = 0, int(counts.max()) + 1
    while too_high - level > 1:
        middle = (level + too_high) // 2
        if needed(middle).sum() <= limit:
            level = middle
        else:
            too_high = middle
    return needed(level)


def _choose_parents(
    rows: IntArray, targets: IntArray, copies: IntArray, random: np.random.Generator
) -> IntArray:
    """Rows of the copies' parents, ascending; within a class the copies a parent has differ by at most 1."""
    chosen = []
    for label, count in enumerate(copies):
        members = random.permutation(rows[targets == label])
        chosen.append(np.resize(members, count) if count else members[:0])
    return np.sort(np.concatenate(chosen))


def _index(store: Store, parents: IntArray, seeds: IntArray) -> pd.DataFrame:
    """One row per copy."""
    table = store.index.iloc[parents][["scan_id", "patient", "label", "split", "site"]].reset_index(drop=True)
    table = table.rename(columns={"scan_id": "parents"})
    number = table.groupby("parents").cumcount().astype(str)
    table["scan_id"] = "augmented-" + table["parents"] + "-" + number
    table["path"] = pd.Series("", index=table.index, dtype=table["scan_id"].dtype)
    table["seed"] = seeds
    return table[list(BANK_COLUMNS)]

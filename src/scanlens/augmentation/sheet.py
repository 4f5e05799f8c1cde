"""What the policy does to a scan of each class, in one picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scanlens.augmentation.policy import BatchPolicy
from scanlens.pictures.sheet import SheetRow, write_sheet
from scanlens.pictures.shown import is_colour, shown
from scanlens.preprocess.store import Store

COPIES = 7
"""Copies shown of each class."""


def write_policy_sheet(path: Path, store: Store, policy: BatchPolicy, seed: int) -> None:
    """Draw the first training scan of each class and copies of it; of slices or windows the middle one.

    Args:
        path: The PNG to write.
        store: The preprocessed scans.
        policy: What changes them.
        seed: Copies have the seeds from here on.
    """
    rows = store.rows("train")
    targets = store.task.class_numbers(store.targets(rows))
    seeds = np.arange(seed, seed + COPIES, dtype=np.int64)
    colour = is_colour(store)
    lines = []
    for label, name in enumerate(store.labels):
        members = rows[targets == label]
        if not len(members):
            continue
        original = store.read(members[:1])
        copies = policy.apply_batch(np.repeat(original, COPIES, axis=0), seeds)
        captions = ["original", *(f"seed {number}" for number in seeds)]
        drawn = [shown(image, colour) for image in (original[0], *copies)]
        lines.append(SheetRow(name, drawn, captions))
    write_sheet(path, lines)

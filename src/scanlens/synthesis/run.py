"""The synthesis stage: train a generator on the training split, make scans, compare them with it."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from scanlens.config.schema import Synthesis
from scanlens.pictures.sheet import SheetRow, write_sheet
from scanlens.pictures.shown import is_colour, shown
from scanlens.preprocess.store import Store, StoreWriter
from scanlens.synthesis.audit import audit
from scanlens.synthesis.gan import plan, train_generator
from scanlens.synthesis.make import make_scans, save_generator
from scanlens.types import IntArray

_logger = logging.getLogger(__name__)

_SHARD_ROWS = 1024
_COLUMNS = ("scan_id", "patient", "label", "split", "site", "path", "parents", "seed")
"""Of the index."""
_SHOWN = 8
"""Scans of each class and kind on the contact sheet."""


def synthesise(
    store: Store, config: Synthesis, output: Path, device: str, *, bf16: bool = False
) -> dict[str, Any]:
    """Write a store of made scans, ``generator.safetensors`` and ``sheet.png``.

    The index's ``parents`` names the whole training split by its hash: every training scan has a part in
    every made one. ``patient``, ``site`` and ``path`` are empty. Classes without training scans stay empty.
    For task ``regression`` the store is empty: there is no class to ask the generator for.

    Args:
        store: The preprocessed scans; only the training split is read.
        config: The settings.
        output: The folder to write.
        device: ``cpu`` or ``cuda``.
        bf16: Whether images are learnt in bfloat16 where that is exact enough.

    Returns:
        ``made``, ``training_scans``, ``lineage``, ``working`` (the sizes in effect), ``fidelity`` and
        ``memorisation``.

    Raises:
        SettingsError: The training split is empty.
    """
    rows = store.rows("train")
    if not store.task.has_classes:
        return _nothing_made(store, len(rows), output)
    sizes = plan(store.shape, config, device, bf16=bf16)
    generator = train_generator(store, rows, config, device, bf16=bf16)
    lineage = lineage_of(store.index["scan_id"].iloc[rows])
    counts = {int(label): config.scans_per_class for label in np.unique(store.targets(rows))}
    identifiers = label_slugs(store.labels)
    entries: list[dict[str, Any]] = []
    with StoreWriter(output, store.shape, store.labels, _SHARD_ROWS, store.task.name) as writer:
        total = config.scans_per_class * len(counts)
        with tqdm(total=total, desc="synthesis make", unit="scan") as progress:
            for made in make_scans(generator, counts, store.shape[1:], config.seed):
                for image, label, seed in zip(made.images, made.targets, made.seeds, strict=True):
                    number = len(entries) % config.scans_per_class
                    entries.append(
                        {
                            "scan_id": f"synthetic-{identifiers[label]}-{number:05d}",
                            "patient": "",
                            "label": store.labels[label],
                            "split": "train",
                            "site": "",
                            "path": "",
                            "parents": lineage,
                            "seed": int(seed),
                        }
                    )
                    writer.append(image)
                progress.update(len(made.seeds))
        writer.close(pd.DataFrame(entries))
    save_generator(generator, output / "generator.safetensors")
    made_store = Store.open(output)
    _write_sheet(output / "sheet.png", store, rows, made_store)
    return {
        "made": len(made_store),
        "training_scans": len(rows),
        "lineage": lineage,
        "working": asdict(sizes),
        **audit(store, rows, made_store, config.seed),
    }


def _nothing_made(store: Store, training_scans: int, output: Path) -> dict[str, Any]:
    """An empty store: the generator is asked for classes, and numbers have none."""
    _logger.warning("data.task=regression: no scans are made, the generator knows classes only.")
    with StoreWriter(output, store.shape, store.labels, _SHARD_ROWS, store.task.name) as writer:
        writer.close(pd.DataFrame(columns=list(_COLUMNS), dtype="str"))
    return {"made": 0, "training_scans": training_scans, "reason": "data.task=regression has no classes"}


def lineage_of(scan_ids: Iterable[str]) -> str:
    """``train:`` and 16 hex digits of the SHA-256 of the sorted scan ids, a line each."""
    digest = hashlib.sha256("\n".join(sorted(scan_ids)).encode()).hexdigest()
    return f"train:{digest[:16]}"


def label_slugs(labels: list[str]) -> list[str]:
    """Labels as parts of an identifier: lower-case letters and digits, a hash where something was lost."""
    slugs = []
    for label in labels:
        slug = re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")[:32]
        lost = slug != label
        slugs.append(f"{slug}-{hashlib.sha256(label.encode()).hexdigest()[:6]}".lstrip("-") if lost else slug)
    return slugs


def _write_sheet(path: Path, store: Store, rows: IntArray, made: Store) -> None:
    """A row of training scans and a row of made scans for each class."""
    lines = []
    colour = is_colour(store)
    for label, name in enumerate(store.labels):
        real = rows[store.targets(rows) == label][:_SHOWN]
        drawn = np.flatnonzero(made.targets(np.arange(len(made))) == label)[:_SHOWN]
        if not len(drawn):
            continue
        seeds = [f"seed {seed}" for seed in made.index["seed"].iloc[drawn]]
        lines.append(
            SheetRow(
                f"{name}: training scans",
                [shown(image, colour) for image in store.read(real)],
                [""] * len(real),
            )
        )
        lines.append(SheetRow(f"{name}: made", [shown(image, colour) for image in made.read(drawn)], seeds))
    write_sheet(path, lines)

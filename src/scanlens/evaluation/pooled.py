"""Predictions of several runs as one table: a cross-validation, each scan tested once.

Intervals come from a bootstrap over the patients of all runs together. They say how far the numbers would
move with other patients, not with other networks: that the networks of two folds share most of their training
scans has no part in them (Bengio and Grandvalet 2004).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from scanlens.errors import SettingsError
from scanlens.estimate import Estimate, finite
from scanlens.evaluation.intervals import patient_intervals
from scanlens.evaluation.metrics import SCALARS, all_metrics
from scanlens.evaluation.predictions import targets_of

_PROBABILITY = "probability_"


def pool(
    tables: Sequence[Path], *, resamples: int = 1000, confidence: float = 0.95, seed: int = 0
) -> dict[str, Any]:
    """Metrics over the test scans of all tables.

    Args:
        tables: ``predictions.parquet`` of each run.
        resamples: Of the bootstrap.
        confidence: Coverage of the intervals.
        seed: Of the bootstrap.

    Returns:
        ``scans``, ``patients``, ``labels``, ``pooled`` (``{metric: {value, low, high}}``) and ``folds``
        (``{metric: [value a table]}``); null where undefined.

    Raises:
        SettingsError: A table is missing, classes differ, or a scan was tested twice.
    """
    parts = []
    for path in tables:
        if not path.is_file():
            raise SettingsError(f"{path}: no predictions here.", "Name predictions.parquet of each run.")
        table = pd.read_parquet(path)
        parts.append(table[table["split"] == "test"])
    for path, part in zip(tables, parts, strict=True):
        if not any(str(name).startswith(_PROBABILITY) for name in part):
            raise SettingsError(
                f"{path}: has no classes (data.task=regression): pool reads those of classes."
            )
    columns = [[name for name in map(str, part) if name.startswith(_PROBABILITY)] for part in parts]
    for path, names in zip(tables, columns, strict=True):
        if names != columns[0]:
            raise SettingsError(f"{path}: its classes are not those of {tables[0]}.")
    scans = pd.concat(parts, ignore_index=True)
    if (twice := scans["scan_id"].duplicated()).any():
        raise SettingsError(
            f"{int(twice.sum())} scans were tested by more than one run.",
            "Give one table a fold: the same manifest.split.folds and seed, another manifest.split.fold.",
        )
    labels = [name.removeprefix(_PROBABILITY) for name in columns[0]]
    probabilities = scans[columns[0]].to_numpy(dtype=np.float64)
    targets = targets_of(scans, labels)
    patients = scans["patient"].to_numpy()
    values = all_metrics(probabilities, targets)
    bootstrap = patient_intervals(
        probabilities, targets, patients, resamples=resamples, confidence=confidence, seed=seed
    )
    ends = np.cumsum([len(part) for part in parts])
    rows = np.split(np.arange(len(scans)), ends[:-1])
    folds = [all_metrics(probabilities[own], targets[own]) for own in rows]
    return {
        "scans": len(scans),
        "patients": int(scans["patient"].nunique()),
        "labels": labels,
        "pooled": {name: bootstrap.estimate(name, values[name]).bounds() for name in SCALARS},
        "folds": {name: [finite(metrics[name]) for metrics in folds] for name in SCALARS},
    }


def pooled_text(facts: dict[str, Any]) -> str:
    """The facts as a table for a terminal.

    Example:
        >>> pooled, folds = {"nll": {"value": 0.5, "low": 0.4, "high": 0.6}}, {"nll": [0.45, None]}
        >>> print(pooled_text({"scans": 40, "patients": 30, "pooled": pooled, "folds": folds}))
        40 test scans of 30 patients in 2 runs
        nll                  0.500 (0.400 to 0.600)   by run: 0.450 -
    """
    lines = [
        f"{facts['scans']} test scans of {facts['patients']} patients in {len(facts['folds']['nll'])} runs"
    ]
    for name, entry in facts["pooled"].items():
        folds = " ".join("-" if one is None else f"{one:.3f}" for one in facts["folds"][name])
        lines.append(f"{name:20} {Estimate.from_json(entry).text('.3f', '-')}   by run: {folds}")
    return "\n".join(lines)

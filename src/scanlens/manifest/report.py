"""What the manifest stage leaves: the table, lists of quarantine and leaks, and the counts people want."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from scanlens.atomic import replacing, write_json
from scanlens.manifest.columns import OK, write_table
from scanlens.manifest.fingerprint import data_hash, split_hash
from scanlens.manifest.gate.leakage import Leak, leaks_table
from scanlens.manifest.splits.deal import TOLERANCE
from scanlens.types import SPLITS


def write_manifest(manifest: pd.DataFrame, output: Path, strata: pd.Series | None = None) -> dict[str, Any]:
    """Write manifest.parquet, quarantine.csv (path, reason) and manifest.json (the facts).

    Args:
        manifest: As :func:`scanlens.manifest.build.build_manifest` returns it.
        output: The stage's folder.
        strata: What is counted in place of the label, see :class:`scanlens.manifest.build.Built`.

    Returns:
        The facts: see :func:`summarise`.
    """
    facts = summarise(manifest, strata)
    write_table(manifest, output / "manifest.parquet")
    quarantine = manifest.loc[manifest["status"] != OK, ["path", "status"]]
    with replacing(output / "quarantine.csv") as temporary:
        quarantine.rename(columns={"status": "reason"}).to_csv(temporary, index=False, lineterminator="\n")
    write_json(output / "manifest.json", facts)
    return facts


def write_leaks(leaks: Sequence[Leak], path: Path) -> None:
    """Write a CSV of all leaks, with the columns of :func:`scanlens.manifest.gate.leakage.leaks_table`."""
    with replacing(path) as temporary:
        leaks_table(leaks).to_csv(temporary, index=False, lineterminator="\n")


def summarise(manifest: pd.DataFrame, strata: pd.Series | None = None) -> dict[str, Any]:
    """Count a manifest.

    Args:
        manifest: The columns of the manifest.
        strata: What is counted as classes; None counts the labels.

    Returns:
        ``scans``, ``accepted``, ``quarantined``, ``status`` (scans a kind of reason), ``splits`` (scans a
        split and class), ``folds`` (scans a fold and class; empty without folds), ``patients`` (a split),
        ``patients_in_several_splits``, ``sites`` (scans a split and site; empty where no site is known),
        ``burned_in`` (accepted scans a finding), ``data_hash``, ``split_hash`` and ``warnings`` (sentences).
    """
    counted = manifest if strata is None else manifest.assign(label=strata)
    accepted = counted[counted["status"] == OK]
    table = pd.crosstab(accepted["split"], accepted["label"])
    splits_of_patient = accepted.groupby("patient")["split"].nunique()
    shared = len(splits_of_patient[splits_of_patient > 1])
    in_folds = accepted[accepted["fold"] >= 0]
    return {
        "scans": len(manifest),
        "accepted": len(accepted),
        "quarantined": len(manifest) - len(accepted),
        "status": _count(manifest["status"].str.split(":").str[0]),
        "splits": _rows(table, SPLITS),
        "folds": _rows(pd.crosstab(in_folds["fold"], in_folds["label"])),
        "patients": {
            split: int(accepted.loc[accepted["split"] == split, "patient"].nunique()) for split in SPLITS
        },
        "patients_in_several_splits": shared,
        "sites": _sites(accepted),
        "burned_in": _count(accepted["burned_in"]),
        "data_hash": data_hash(manifest),
        "split_hash": split_hash(manifest),
        "warnings": _warnings(accepted, table, shared),
    }


def _count(values: pd.Series) -> dict[str, int]:
    return {str(value): int(count) for value, count in sorted(values.value_counts().items(), key=str)}


def _rows(table: pd.DataFrame, order: Sequence[str] | None = None) -> dict[str, dict[str, int]]:
    """The rows of a table of counts by name, in this order or their own."""
    rows = table.index if order is None else [name for name in order if name in table.index]
    return {
        str(row): {str(column): int(count) for column, count in table.loc[row].to_dict().items()}
        for row in rows
    }


def _sites(accepted: pd.DataFrame) -> dict[str, dict[str, int]]:
    if not (accepted["site"] != "").any():
        return {}
    return _rows(pd.crosstab(accepted["split"], accepted["site"].replace("", "unknown")), SPLITS)


def _warnings(accepted: pd.DataFrame, table: pd.DataFrame, shared_patients: int) -> list[str]:
    found = []
    if shared_patients:
        found.append(f"{shared_patients} patients have scans in several splits: test metrics are too good.")
    content = accepted["pixel_sha256"].where(accepted["pixel_sha256"] != "", accepted["sha256"])
    copies = content.value_counts()
    groups = int((copies > 1).sum())
    if groups:
        found.append(
            f"{len(content) - len(copies)} scans repeat the pixels of another one ({groups} groups)."
        )
    splits_of_content = accepted.groupby(content)["split"].nunique()
    crossing = len(splits_of_content[splits_of_content > 1])
    if crossing:
        found.append(f"{crossing} contents are in several splits: test metrics are too good.")
    unnamed = len(accepted[accepted["patient"] == "s" + accepted["scan_id"]])
    if unnamed:
        found.append(f"{unnamed} scans name no patient: each counts as a patient of its own.")
    texts = accepted["burned_in"].value_counts()
    declared, detected = int(texts.get("declared", 0)), int(texts.get("detected", 0))
    if declared or detected:
        found.append(
            f"{declared + detected} scans seem to have text burned into the pixels (declared by {declared}, "
            f"detected in {detected}): it may name patients. manifest.burned_in=quarantine leaves them out."
        )
    return found + _uneven_classes(table)


def _uneven_classes(table: pd.DataFrame) -> list[str]:
    """Name the splits in which a class is absent, or its ratio is not that of all scans."""
    found = []
    overall = table.sum() / table.to_numpy().sum()
    for split, counts in table.iterrows():
        shares = counts / counts.sum()
        # A single scan may be more than the tolerance where a split is small.
        tolerance = max(TOLERANCE, 1 / counts.sum())
        for label in table.columns:
            if counts[label] == 0:
                found.append(f"{split} has no scan of class {label}.")
            elif abs(shares[label] - overall[label]) > tolerance:
                found.append(
                    f"class {label} makes up {100 * shares[label]:.1f} % of {split} "
                    f"but {100 * overall[label]:.1f} % of all scans."
                )
    return found

"""What the manifest stage leaves: the table, the quarantine list and the counts people look at first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from scanlens.atomic import replacing, write_json
from scanlens.manifest.columns import OK, write_table
from scanlens.manifest.fingerprint import data_hash, split_hash
from scanlens.types import SPLITS

CLASS_RATIO_TOLERANCE = 0.05
"""A class share in a split that is further than this from its share in all is worth a warning."""


def write_manifest(manifest: pd.DataFrame, output: Path) -> dict[str, Any]:
    """Write manifest.parquet, quarantine.csv (path, reason) and manifest.json (the facts).

    Args:
        manifest: As :func:`scanlens.manifest.build.build_manifest` returns it.
        output: The stage's folder.

    Returns:
        The facts: see :func:`summarise`.
    """
    facts = summarise(manifest)
    write_table(manifest, output / "manifest.parquet")
    quarantine = manifest.loc[manifest["status"] != OK, ["path", "status"]]
    with replacing(output / "quarantine.csv") as temporary:
        quarantine.rename(columns={"status": "reason"}).to_csv(temporary, index=False, lineterminator="\n")
    write_json(output / "manifest.json", facts)
    return facts


def summarise(manifest: pd.DataFrame) -> dict[str, Any]:
    """Count a manifest.

    Returns:
        ``scans``, ``accepted``, ``quarantined``, ``status`` (scans a kind of reason), ``splits`` (scans a
        split and class), ``patients`` (a split), ``patients_in_several_splits``, ``data_hash``,
        ``split_hash`` and ``warnings`` (sentences).
    """
    accepted = manifest[manifest["status"] == OK]
    kinds = manifest["status"].str.split(":").str[0].value_counts()
    table = pd.crosstab(accepted["split"], accepted["label"])
    splits_of_patient = accepted.groupby("patient")["split"].nunique()
    shared = len(splits_of_patient[splits_of_patient > 1])
    return {
        "scans": len(manifest),
        "accepted": len(accepted),
        "quarantined": len(manifest) - len(accepted),
        "status": {str(kind): int(count) for kind, count in sorted(kinds.items(), key=str)},
        "splits": {
            split: {str(label): int(count) for label, count in table.loc[split].to_dict().items()}
            for split in SPLITS
            if split in table.index
        },
        "patients": {
            split: int(accepted.loc[accepted["split"] == split, "patient"].nunique()) for split in SPLITS
        },
        "patients_in_several_splits": shared,
        "data_hash": data_hash(manifest),
        "split_hash": split_hash(manifest),
        "warnings": _warnings(accepted, table, shared),
    }


def _warnings(accepted: pd.DataFrame, table: pd.DataFrame, shared_patients: int) -> list[str]:
    found = []
    if shared_patients:
        found.append(f"{shared_patients} patients have scans in several splits: test metrics are too good.")
    repeats = len(accepted) - accepted["sha256"].nunique()
    if repeats:
        found.append(f"{repeats} scans repeat the content of another one.")
    splits_of_content = accepted.groupby("sha256")["split"].nunique()
    crossing = len(splits_of_content[splits_of_content > 1])
    if crossing:
        found.append(f"{crossing} contents are in several splits: test metrics are too good.")
    unnamed = len(accepted[accepted["patient"] == "s" + accepted["scan_id"]])
    if unnamed:
        found.append(f"{unnamed} scans name no patient: each counts as a patient of its own.")
    overall = table.sum() / table.to_numpy().sum()
    for split, counts in table.iterrows():
        shares = counts / counts.sum()
        for label in table.columns:
            if counts[label] == 0:
                found.append(f"{split} has no scan of class {label}.")
            elif abs(shares[label] - overall[label]) > CLASS_RATIO_TOLERANCE:
                found.append(
                    f"class {label} makes up {100 * shares[label]:.0f} % of {split} "
                    f"but {100 * overall[label]:.0f} % of all scans."
                )
    return found

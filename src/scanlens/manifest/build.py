"""Read every scan of a listing once, check it, and write down what it is and which split it is in."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from scanlens.config.schema import Checks, Manifest
from scanlens.errors import SettingsError, UnreadableScan
from scanlens.manifest.checks import contradictions, problem
from scanlens.manifest.columns import COLUMNS, OK, check_columns
from scanlens.manifest.fingerprint import perceptual_hash
from scanlens.manifest.split import assign_splits, check_split_settings
from scanlens.sources.pseudonym import load_key, pseudonym
from scanlens.sources.read import content_sha256, read_scan

_UNREAD: dict[str, Any] = {
    "perceptual_hash": "",
    "shape": [],
    "channels": 0,
    "spacing": [],
    "orientation": "",
    "modality": "",
    "photometric": "",
    "bits": 0,
}


def build_manifest(
    listing: pd.DataFrame, root: Path, source: dict[str, Any], config: Manifest
) -> pd.DataFrame:
    """Build the manifest: each row of the listing once, accepted with its split or quarantined with a reason.

    Args:
        listing: One row a scan: path, label, patient (pseudonym or empty), site, split (declared or
            empty), mask, problem (empty, or why the row cannot be used: the file is then not touched).
        root: The data root that the paths are relative to.
        source: ``kind``, ``dims`` and ``labels`` of the data set.
        config: Checks and split.

    Returns:
        The columns of :data:`scanlens.manifest.columns.COLUMNS`, in the listing's order.

    Raises:
        SettingsError: Wrong split settings, a class without an accepted scan, or too few patients.
    """
    check_split_settings(config.split, listing)
    ids: Counter[str] = Counter()
    rows = []
    for row in tqdm(listing.to_dict("records"), desc="manifest", unit="scan"):
        facts = _examine(row, root, source, config.checks)
        content = facts["sha256"][:16]
        if content:
            facts["scan_id"] = f"{content}-{ids[content]}" if ids[content] else content
            ids[content] += 1
        facts["patient"] = facts["patient"] or f"s{facts['scan_id']}"
        rows.append(facts)
    manifest = pd.DataFrame(rows, columns=list(COLUMNS))
    for index, reason in contradictions(manifest).items():
        manifest.loc[index, "status"] = reason
    accepted = manifest["status"] == OK
    _check_classes(manifest, source["labels"])
    declared = manifest[accepted].assign(split=listing["split"].to_numpy()[accepted.to_numpy()])
    manifest.loc[accepted, "split"] = assign_splits(declared, config.split)
    check_columns(manifest)
    return manifest


def _examine(row: dict[str, Any], root: Path, source: dict[str, Any], checks: Checks) -> dict[str, Any]:
    """Fill one row; everything but the split and the number of a repetition."""
    path = row["path"]
    facts: dict[str, Any] = {
        **_UNREAD,
        "scan_id": f"x{hashlib.sha256(path.encode()).hexdigest()[:15]}",
        "patient": row["patient"],
        "label": row["label"],
        "split": "",
        "source": source["kind"],
        "path": path,
        "sha256": "",
        "site": row["site"],
        "mask": row["mask"],
        "status": row["problem"] or OK,
    }
    if row["problem"]:
        return facts
    try:
        facts["sha256"] = content_sha256(root, path)
        scan = read_scan(root, path, dims=source["dims"], max_pixels=checks.max_pixels)
    except UnreadableScan as error:
        facts["status"] = error.reason
        return facts
    facts.update(
        shape=[int(side) for side in scan.pixels.shape[1:]],
        channels=len(scan.pixels),
        spacing=[float(step) for step in scan.spacing or ()],
        orientation=scan.orientation,
        modality=scan.modality,
        photometric=scan.photometric,
        bits=int(scan.bits),
        status=problem(scan, source["dims"], checks) or OK,
    )
    if not facts["patient"] and scan.patient:
        facts["patient"] = pseudonym(scan.patient, load_key())
    if facts["status"] == OK:
        facts["perceptual_hash"] = perceptual_hash(scan.pixels)
    return facts


def _check_classes(manifest: pd.DataFrame, labels: list[str]) -> None:
    accepted = manifest[manifest["status"] == OK]
    for label in labels:
        if (accepted["label"] == label).any():
            continue
        reasons = manifest.loc[manifest["label"] == label, "status"].value_counts()
        why = f" (most often: {reasons.index[0]})" if len(reasons) else ""
        raise SettingsError(
            f"class {label}: {reasons.sum()} scans listed, none accepted{why}.",
            "Correct the files, relax manifest.checks, or leave the class out with data.labels.",
        )

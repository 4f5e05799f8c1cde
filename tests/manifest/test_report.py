"""The stage's files and counts; and the traps of the real data sets."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from scanlens.config.schema import Manifest
from scanlens.manifest.build import build_manifest
from scanlens.manifest.columns import read_manifest
from scanlens.manifest.report import summarise, write_manifest

MakeListing = Callable[..., pd.DataFrame]
MakeConfig = Callable[..., Manifest]


def listing_from(paths: list[str], labels: list[str], patients: list[str] | None = None) -> pd.DataFrame:
    """Make a listing of rows without problems, sorted by path."""
    table = pd.DataFrame({"path": paths, "label": labels, "patient": patients or [""] * len(paths)})
    return table.sort_values("path", ignore_index=True).assign(site="", split="", mask="", problem="")


def test_files_and_counts(
    tmp_path: Path, source: dict[str, Any], listing_of: MakeListing, manifest_config: MakeConfig
) -> None:
    listing = listing_of()
    (tmp_path / "003-1.png").write_text("damaged, it is")
    manifest = build_manifest(listing, tmp_path, source, manifest_config()).manifest
    facts = write_manifest(manifest, tmp_path / "out")
    assert read_manifest(tmp_path / "out/manifest.parquet").to_dict("records") == manifest.to_dict("records")
    assert json.loads((tmp_path / "out/manifest.json").read_text()) == facts
    quarantine = pd.read_csv(tmp_path / "out/quarantine.csv")
    assert quarantine.columns.tolist() == ["path", "reason"]
    assert quarantine["path"].tolist() == ["003-1.png"]
    assert (facts["scans"], facts["accepted"], facts["quarantined"]) == (40, 39, 1)
    assert facts["status"]["ok"] == 39
    assert sum(sum(counts.values()) for counts in facts["splits"].values()) == 39
    assert sum(facts["patients"].values()) == 20
    assert facts["patients_in_several_splits"] == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "manifest.json",
        "manifest.parquet",
        "quarantine.csv",
    ]


def test_the_same_manifest_gives_the_same_bytes(
    tmp_path: Path, source: dict[str, Any], listing_of: MakeListing, manifest_config: MakeConfig
) -> None:
    for name in ("one", "two"):
        write_manifest(build_manifest(listing_of(), tmp_path, source, manifest_config()), tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_warnings_name_leaks_and_repeats(
    tmp_path: Path, source: dict[str, Any], listing_of: MakeListing, manifest_config: MakeConfig
) -> None:
    listing = listing_of()
    (tmp_path / "001-1.png").write_bytes((tmp_path / "001-0.png").read_bytes())
    facts = summarise(build_manifest(listing, tmp_path, source, manifest_config(method="random", seed=1)))
    assert facts["patients_in_several_splits"] > 0
    assert any("patients have scans in several splits" in warning for warning in facts["warnings"])
    assert any(warning.startswith("1 scans repeat") for warning in facts["warnings"])
    unnamed = build_manifest(listing.assign(patient=""), tmp_path, source, manifest_config())
    assert any("40 scans name no patient" in warning for warning in summarise(unnamed)["warnings"])


def test_chest_radiographs_keep_patients_whole(shared_data: Path, manifest_config: MakeConfig) -> None:
    table = pd.read_csv(shared_data / "cxr/labels.csv")
    listing = listing_from(table["path"].tolist(), table["label"].tolist(), table["patient_id"].tolist())
    source = {"kind": "table", "dims": 2, "labels": ["covid", "normal", "pneumonia"]}
    manifest = build_manifest(listing, shared_data / "cxr", source, manifest_config(max_aspect=10.0))
    facts = summarise(manifest)
    assert facts["accepted"] == 1124
    assert facts["patients_in_several_splits"] == 0
    assert sum(facts["patients"].values()) == 764
    for split, fraction in (("train", 0.6), ("val", 0.2), ("test", 0.2)):
        assert abs(sum(facts["splits"][split].values()) / 1124 - fraction) < 0.01
        assert abs(facts["splits"][split]["covid"] / 124 - fraction) < 0.03


def test_two_breast_scans_of_one_content_and_two_labels_are_quarantined(
    shared_data: Path, manifest_config: MakeConfig
) -> None:
    root = shared_data / "busi"
    files = sorted(path for path in root.rglob("*.png"))
    paths = [path.relative_to(root).as_posix() for path in files]
    listing = listing_from(paths, [path.split("/")[0] for path in paths])
    source = {"kind": "folder", "dims": 2, "labels": ["benign", "malignant", "normal"]}
    manifest = build_manifest(listing, root, source, manifest_config(max_aspect=10.0))
    bad = manifest[manifest["status"] != "ok"]
    assert len(bad) == 2
    assert bad["sha256"].nunique() == 1
    assert bad["label"].nunique() == 2
    assert bad["path"].iloc[1] in bad["status"].iloc[0]

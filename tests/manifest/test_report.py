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
from scanlens.manifest.gate.leakage import Leak
from scanlens.manifest.report import summarise, write_leaks, write_manifest

MakeListing = Callable[..., pd.DataFrame]
MakeConfig = Callable[..., Manifest]


def listing_from(paths: list[str], labels: list[str], patients: list[str] | None = None) -> pd.DataFrame:
    """Make a listing of rows without problems, sorted by path."""
    table = pd.DataFrame({"path": paths, "label": labels, "patient": patients or [""] * len(paths)})
    return table.sort_values("path", ignore_index=True).assign(
        site="", split="", mask="", date="", problem=""
    )


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
        manifest = build_manifest(listing_of(), tmp_path, source, manifest_config()).manifest
        write_manifest(manifest, tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_warnings_name_leaks_and_repeats(
    tmp_path: Path, source: dict[str, Any], listing_of: MakeListing, manifest_config: MakeConfig
) -> None:
    listing = listing_of()
    (tmp_path / "001-1.png").write_bytes((tmp_path / "001-0.png").read_bytes())
    config = manifest_config(method="random", seed=1)
    facts = summarise(build_manifest(listing, tmp_path, source, config).manifest)
    assert facts["patients_in_several_splits"] > 0
    assert any("patients have scans in several splits" in warning for warning in facts["warnings"])
    assert any(warning.startswith("1 scans repeat") for warning in facts["warnings"])
    unnamed = build_manifest(listing.assign(patient=""), tmp_path, source, manifest_config()).manifest
    assert any("40 scans name no patient" in warning for warning in summarise(unnamed)["warnings"])


def test_folds_sites_and_burned_in_text_are_counted(
    tmp_path: Path, source: dict[str, Any], listing_of: MakeListing, manifest_config: MakeConfig
) -> None:
    listing = listing_of()
    plain = build_manifest(listing, tmp_path, source, manifest_config()).manifest
    assert summarise(plain)["folds"] == {}
    assert summarise(plain)["sites"] == {}
    assert summarise(plain)["burned_in"] == {"no": 40}
    listing["site"] = ["north"] * 20 + ["south"] * 10 + [""] * 10
    manifest = build_manifest(listing, tmp_path, source, manifest_config(folds=5)).manifest
    manifest.loc[[3, 4], "burned_in"] = "declared"
    manifest.loc[7, "burned_in"] = "detected"
    facts = summarise(manifest)
    assert facts["folds"] == {str(fold): {"a": 4, "b": 4} for fold in range(5)}
    sites = pd.DataFrame(facts["sites"]).sum(axis=1)
    assert sites.to_dict() == {"north": 20, "south": 10, "unknown": 10}
    assert facts["burned_in"] == {"declared": 2, "detected": 1, "no": 37}
    assert any(warning.startswith("3 scans seem to have text burned") for warning in facts["warnings"])
    assert not any("burned" in warning for warning in summarise(plain)["warnings"])


def test_class_ratios_further_than_two_percent_and_a_scan_apart_are_named(
    tmp_path: Path, source: dict[str, Any], listing_of: MakeListing, manifest_config: MakeConfig
) -> None:
    manifest = build_manifest(listing_of(), tmp_path, source, manifest_config()).manifest
    assert not any("makes up" in warning for warning in summarise(manifest)["warnings"])
    test = manifest.index[(manifest["split"] == "test") & (manifest["label"] == "a")]
    manifest.loc[test[:2], "label"] = "b"
    named = [warning for warning in summarise(manifest)["warnings"] if "of test" in warning]
    assert named == [
        "class a makes up 25.0 % of test but 45.0 % of all scans.",
        "class b makes up 75.0 % of test but 55.0 % of all scans.",
    ]
    manifest.loc[test, "label"] = "b"
    assert "test has no scan of class a." in summarise(manifest)["warnings"]


def test_leaks_are_written_as_a_table(tmp_path: Path) -> None:
    leaks = [Leak("copy", "a,b.png", "c.png", "train | test"), Leak("patient", "d", "e", "val | test", 5)]
    write_leaks(leaks, tmp_path / "reports/leaks.csv")
    table = pd.read_csv(tmp_path / "reports/leaks.csv")
    assert table["first"].tolist() == ["a,b.png", "d"]
    assert table["scans"].tolist() == [2, 5]
    write_leaks([], tmp_path / "none.csv")
    assert pd.read_csv(tmp_path / "none.csv").columns.tolist() == table.columns.tolist()


def test_chest_radiographs_keep_patients_whole(shared_data: Path, manifest_config: MakeConfig) -> None:
    table = pd.read_csv(shared_data / "cxr/labels.csv")
    listing = listing_from(table["path"].tolist(), table["label"].tolist(), table["patient_id"].tolist())
    source = {"kind": "table", "dims": 2, "labels": ["covid", "normal", "pneumonia"]}
    manifest = build_manifest(listing, shared_data / "cxr", source, manifest_config(max_aspect=10.0)).manifest
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
    manifest = build_manifest(
        listing, root, source, manifest_config(max_aspect=10.0, near_copies="off")
    ).manifest
    bad = manifest[manifest["status"] != "ok"]
    assert len(bad) == 2
    assert bad["sha256"].nunique() == 1
    assert bad["label"].nunique() == 2
    assert bad["path"].iloc[1] in bad["status"].iloc[0]

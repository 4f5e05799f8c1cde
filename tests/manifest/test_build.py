"""A listing becomes a manifest: every file once, accepted or with its reason."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from scanlens.config.schema import Manifest
from scanlens.errors import SettingsError
from scanlens.manifest.build import build_manifest
from scanlens.manifest.columns import COLUMNS
from scanlens.manifest.fingerprint import split_hash
from scanlens.manifest.gate.verdict import LeakageError, judge
from tests.helpers.tiny import leakage

MakeListing = Callable[..., pd.DataFrame]
MakeConfig = Callable[..., Manifest]


def add(listing: pd.DataFrame, path: str, **fields: str) -> pd.DataFrame:
    """Append a row."""
    row = {
        "path": path,
        "label": "a",
        "patient": "",
        "site": "",
        "split": "",
        "mask": "",
        "date": "",
        "problem": "",
    }
    return pd.concat([listing, pd.DataFrame([{**row, **fields}])], ignore_index=True)


def reason(manifest: pd.DataFrame, path: str) -> str:
    return str(manifest.set_index("path")["status"][path])


def test_columns_are_filled_from_the_files(
    tmp_path: Path, source: dict[str, Any], listing_of: MakeListing, manifest_config: MakeConfig
) -> None:
    colour = np.random.default_rng(0).integers(0, 256, (20, 10, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "colour.png"), colour)
    listing = add(listing_of(), "colour.png", patient="pq", site="north", mask="m.png")
    manifest = build_manifest(listing, tmp_path, source, manifest_config()).manifest
    assert list(manifest.columns) == list(COLUMNS)
    assert manifest["path"].tolist() == listing["path"].tolist()
    assert (manifest["status"] == "ok").all()
    row = manifest.iloc[-1]
    content = hashlib.sha256((tmp_path / "colour.png").read_bytes()).hexdigest()
    assert (row["sha256"], row["scan_id"]) == (content, content[:16])
    assert (row["shape"], row["channels"], row["bits"], row["spacing"]) == ([20, 10], 3, 8, [])
    assert (row["patient"], row["site"], row["mask"], row["source"]) == ("pq", "north", "m.png", "table")
    first = manifest.iloc[0]
    assert (first["shape"], first["channels"], len(first["perceptual_hash"])) == ([16, 12], 1, 16)


def test_every_bad_file_is_quarantined_with_its_reason(
    tmp_path: Path, source: dict[str, Any], listing_of: MakeListing, manifest_config: MakeConfig
) -> None:
    listing = listing_of()
    cv2.imwrite(str(tmp_path / "blank.png"), np.full((20, 20), 9, np.uint8))
    cv2.imwrite(str(tmp_path / "tiny.png"), np.eye(4, dtype=np.uint8))
    cv2.imwrite(str(tmp_path / "long.png"), np.eye(10, 80, dtype=np.uint8))
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "cut.png").write_bytes((tmp_path / "000-0.png").read_bytes()[:-60])
    for name in ("blank", "tiny", "long", "text", "empty", "cut", "gone"):
        listing = add(listing, f"{name}.png")
    listing = add(listing, "../outside.png", problem="outside the root")
    manifest = build_manifest(listing, tmp_path, source, manifest_config()).manifest
    assert (manifest["status"] != "ok").sum() == 8
    bad = manifest[manifest["status"] != "ok"]
    assert set(bad["split"]) == set(bad["group"]) == {""}
    assert manifest["scan_id"].is_unique
    assert reason(manifest, "blank.png") == "blank: every pixel is 9"
    assert reason(manifest, "tiny.png").startswith("too small")
    assert reason(manifest, "long.png").startswith("too long")
    assert reason(manifest, "../outside.png") == "outside the root"
    for name in ("text", "empty", "cut", "gone"):
        assert reason(manifest, f"{name}.png")


def test_repetitions_get_numbered_ids_and_one_split(
    tmp_path: Path, source: dict[str, Any], listing_of: MakeListing, manifest_config: MakeConfig
) -> None:
    listing = listing_of()
    for name in ("again", "once-more"):
        shutil.copy(tmp_path / "000-0.png", tmp_path / f"{name}.png")
        listing = add(listing, f"{name}.png", patient=f"p{name}")
    manifest = build_manifest(listing, tmp_path, source, manifest_config()).manifest.set_index("path")
    first = manifest["scan_id"]["000-0.png"]
    assert manifest["scan_id"]["again.png"] == f"{first}-1"
    assert manifest["scan_id"]["once-more.png"] == f"{first}-2"
    together = manifest.loc[["000-0.png", "000-1.png", "again.png", "once-more.png"]]
    assert together["split"].nunique() == 1
    # Their patients differ; training deals its folds by this column.
    assert set(together["group"]) == {together["scan_id"].min()}
    assert manifest["group"].nunique() < len(manifest) - 2


def test_the_same_content_with_another_label_is_quarantined_on_both_sides(
    tmp_path: Path, source: dict[str, Any], listing_of: MakeListing, manifest_config: MakeConfig
) -> None:
    shutil.copy(tmp_path / listing_of().iloc[0]["path"], tmp_path / "twin.png")
    listing = add(listing_of(), "twin.png", label="b")
    manifest = build_manifest(listing, tmp_path, source, manifest_config()).manifest
    assert reason(manifest, "twin.png") == "contradiction: same content as 000-0.png, labelled a"
    assert reason(manifest, "000-0.png") == "contradiction: same content as twin.png, labelled b"
    assert (manifest["status"] == "ok").sum() == 39


def test_scans_without_a_patient_are_patients_of_their_own(
    tmp_path: Path, source: dict[str, Any], listing_of: MakeListing, manifest_config: MakeConfig
) -> None:
    manifest = build_manifest(listing_of().assign(patient=""), tmp_path, source, manifest_config()).manifest
    assert manifest["patient"].tolist() == ("s" + manifest["scan_id"]).tolist()


def test_a_patient_named_by_the_file_is_stored_as_a_pseudonym(
    tmp_path: Path,
    source: dict[str, Any],
    listing_of: MakeListing,
    manifest_config: MakeConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import dataclasses

    from scanlens.manifest import examine

    read = examine.read_with_sum

    def named(root: Path, path: str, **limits: int) -> Any:
        scan, content = read(root, path, **limits)
        return dataclasses.replace(scan, patient=f"MRN-{path[:3]}"), content

    monkeypatch.setattr(examine, "read_with_sum", named)
    manifest = build_manifest(listing_of().assign(patient=""), tmp_path, source, manifest_config()).manifest
    assert manifest["patient"].nunique() == 20
    assert manifest["patient"].str.fullmatch("p[0-9a-f]{16}").all()
    assert not manifest.astype(str).apply(lambda column: column.str.contains("MRN")).any().any()
    assert (manifest.groupby("patient")["split"].nunique() == 1).all()


def test_the_split_is_the_same_under_another_pseudonym_key(
    tmp_path: Path, source: dict[str, Any], listing_of: MakeListing, manifest_config: MakeConfig
) -> None:
    one, other = (
        build_manifest(listing_of(key=key), tmp_path, source, manifest_config()).manifest
        for key in ("k1", "k2")
    )
    assert one["patient"].tolist() != other["patient"].tolist()
    assert split_hash(one) == split_hash(other)


def test_seed_and_checks_change_the_manifest(
    tmp_path: Path, source: dict[str, Any], listing_of: MakeListing, manifest_config: MakeConfig
) -> None:
    listing = listing_of()
    plain = build_manifest(listing, tmp_path, source, manifest_config()).manifest
    assert plain.equals(build_manifest(listing, tmp_path, source, manifest_config()).manifest)
    assert split_hash(plain) != split_hash(
        build_manifest(listing, tmp_path, source, manifest_config(seed=8)).manifest
    )
    for limit in ({"min_side": 13}, {"max_pixels": 100}, {"max_aspect": 1.2}):
        with pytest.raises(SettingsError, match=r"class a: 20 scans listed, none accepted \(most often: "):
            build_manifest(listing, tmp_path, source, manifest_config(**limit))


def test_settings_are_refused_before_a_scan_is_read(
    tmp_path: Path,
    source: dict[str, Any],
    listing_of: MakeListing,
    manifest_config: MakeConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    listing = listing_of()
    monkeypatch.setattr("scanlens.manifest.examine.read_with_sum", None)
    with pytest.raises(SettingsError, match="has no test scans"):
        build_manifest(listing.assign(split="train"), tmp_path, source, manifest_config())


def test_a_patient_in_two_declared_splits_is_the_gates_matter(
    tmp_path: Path, source: dict[str, Any], listing_of: MakeListing, manifest_config: MakeConfig
) -> None:
    declared = listing_of().assign(split=["train", "test"] * 20)
    built = build_manifest(declared, tmp_path, source, manifest_config())
    assert {leak.kind for leak in built.leaks} == {"patient"}
    with pytest.raises(LeakageError, match=r"20 patients are in two splits or more \(40 scans\)"):
        judge(built.leaks, built.shortcuts, leakage())
    assert "20 patients" in judge(built.leaks, built.shortcuts, leakage(patients="warn"))[0]


def test_copies_across_declared_splits_leave_the_one_that_is_learned_from(
    tmp_path: Path, source: dict[str, Any], listing_of: MakeListing, manifest_config: MakeConfig
) -> None:
    listing = listing_of().assign(split=["train"] * 28 + ["val"] * 6 + ["test"] * 6)
    shutil.copy(tmp_path / listing["path"].iloc[-1], tmp_path / listing["path"].iloc[1])
    refused = build_manifest(listing, tmp_path, source, manifest_config(contradictions="refuse"))
    assert [leak.kind for leak in refused.leaks] == ["copy", "contradiction"]
    kept = build_manifest(listing.assign(label=["a", "b"] * 20), tmp_path, source, manifest_config())
    assert [leak.kind for leak in kept.leaks] == ["copy"]
    config = manifest_config(copies="quarantine")
    built = build_manifest(listing.assign(label=["a", "b"] * 20), tmp_path, source, config)
    assert built.leaks == []
    assert built.manifest["status"].iloc[1].startswith("copy: the same pixels as")
    assert built.manifest["status"].iloc[-1] == "ok"
    assert any("1 copies" in warning for warning in built.warnings)


def test_quarantine_must_leave_something_to_learn_from(
    tmp_path: Path, source: dict[str, Any], listing_of: MakeListing, manifest_config: MakeConfig
) -> None:
    listing = listing_of(patients=6, scans=1).assign(split=["train"] * 2 + ["val"] * 2 + ["test"] * 2)
    for learned, kept in ((0, 4), (1, 5)):
        shutil.copy(tmp_path / listing["path"][kept], tmp_path / listing["path"][learned])
    with pytest.raises(SettingsError, match="no scan is in the train split"):
        build_manifest(listing, tmp_path, source, manifest_config(copies="quarantine"))


def test_the_tables_dates_and_the_headers_are_never_mixed(
    tmp_path: Path, source: dict[str, Any], listing_of: MakeListing, manifest_config: MakeConfig
) -> None:
    listing = listing_of().assign(date=["000000", *[""] * 39])
    with pytest.raises(SettingsError, match="39 of 40 scans have no date"):
        build_manifest(listing, tmp_path, source, manifest_config(method="temporal"))


def test_an_empty_class_is_refused(
    tmp_path: Path, source: dict[str, Any], listing_of: MakeListing, manifest_config: MakeConfig
) -> None:
    with pytest.raises(SettingsError, match=r"class c: 0 scans listed, none accepted\. .*data\.labels"):
        build_manifest(listing_of(), tmp_path, {**source, "labels": ["a", "b", "c"]}, manifest_config())

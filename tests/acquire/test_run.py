"""The acquire stage writes the listing and says what the data is; twice the same, byte for byte."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from scanlens.acquire.run import acquire, list_scans
from scanlens.config.schema import Acquire, Data, Phantom
from scanlens.errors import SettingsError
from scanlens.sources.acquired import read_metadata, read_source
from scanlens.sources.listing.columns import LISTING_COLUMNS
from scanlens.sources.read import content_sha256, read_scan

Make = Callable[..., Data]


def test_folder(scans: Path, settings: Make, tmp_path: Path) -> None:
    data = settings("folder", root=str(scans))
    facts = acquire(data, Acquire(None, "plain", 0), tmp_path / "a")
    assert (facts["scans"], facts["unusable"], facts["classes"]) == (6, 0, {"ill": 3, "well": 3})
    assert json.loads((tmp_path / "a" / "source.json").read_text()) == {
        "kind": "folder",
        "root": str(scans),
        "labels": ["ill", "well"],
        "dims": 2,
        "task": "binary",
        "header_patients": True,
    }
    assert len(pd.read_parquet(tmp_path / "a" / "listing.parquet")) == 6
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["listing.parquet", "source.json"]
    acquire(data, Acquire(None, "plain", 0), tmp_path / "b")
    for name in ("listing.parquet", "source.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_further_columns_go_along_row_by_row_without_their_values(
    scans: Path, settings: Make, tmp_path: Path
) -> None:
    rows = "".join(
        f"{label}/{number}.png,{label},P{number},{60 + number},Doe {number // 2}\n"
        for number, label in enumerate(("ill", "well") * 3)
    )
    (scans / "labels.csv").write_text("path,label,patient,age,referrer\n" + rows)
    data = settings("table", root=str(scans), table="labels.csv")
    assert acquire(data, Acquire(4, "plain", 0), tmp_path / "a")["scans"] == 4
    listing, metadata = pd.read_parquet(tmp_path / "a" / "listing.parquet"), read_metadata(tmp_path / "a")
    assert metadata is not None
    assert list(metadata.columns) == ["age", "referrer"]
    numbers = listing["path"].str.extract(r"(\d)\.png")[0].astype(int)
    assert metadata["age"].tolist() == (numbers + 1).tolist()
    same = metadata["referrer"].to_numpy()[:, None] == metadata["referrer"].to_numpy()
    halves = (numbers // 2).to_numpy()
    assert (same == (halves[:, None] == halves)).all()
    for path in (tmp_path / "a").iterdir():
        assert b"Doe" not in path.read_bytes()
    acquire(settings("folder", root=str(scans)), Acquire(None, "plain", 0), tmp_path / "b")
    assert read_metadata(tmp_path / "b") is None


def test_null_means_that_no_patient_is_taken_from_the_header(
    scans: Path, settings: Make, tmp_path: Path
) -> None:
    acquire(settings("folder", root=str(scans), patient=None), Acquire(None, "plain", 0), tmp_path)
    assert read_source(tmp_path)[1]["header_patients"] is False


def test_aliases_name_no_file(scans: Path, settings: Make, tmp_path: Path) -> None:
    shutil.copy(scans / "ill" / "0.png", scans / "ill" / "0_mask.png")
    (scans / "ill" / "0.png").rename(scans / "ill" / "Doe^Jane.png")
    (scans / "ill" / "0_mask.png").rename(scans / "ill" / "Doe^Jane_mask.png")
    data = settings("folder", root=str(scans))
    acquire(data, Acquire(None, "plain", 0), tmp_path / "plain")
    acquire(data, Acquire(None, "alias", 0), tmp_path / "alias")
    plain = pd.read_parquet(tmp_path / "plain" / "listing.parquet")
    listing = pd.read_parquet(tmp_path / "alias" / "listing.parquet")
    assert listing["path"].str.fullmatch(r"@[0-9a-f]{16}\.png").all()
    assert listing["path"].is_unique
    # The order and everything else is that of the plain listing.
    columns = ["label", "patient", "site", "split", "date", "problem"]
    assert listing[columns].equals(plain[columns])
    for alias, path in zip(listing["path"], plain["path"], strict=True):
        assert content_sha256(scans, alias) == content_sha256(scans, path)
    row = plain.index[plain["mask"] != ""][0]
    mask = read_scan(scans, listing["mask"][row], dims=2, max_pixels=99)
    assert (mask.pixels == read_scan(scans, plain["mask"][row], dims=2, max_pixels=99).pixels).all()
    assert b"Doe" not in (tmp_path / "alias" / "listing.parquet").read_bytes()


def test_unusable_rows_are_told_and_go_on_under_aliases(scans: Path, settings: Make, tmp_path: Path) -> None:
    """Several rows of one path, of none, and of a nearly right one end in quarantine; the run goes on."""
    shutil.copy(scans / "ill" / "0.png", scans / "ill" / "0.jpg")
    rows = "ill/2.png,ill\nwell/1.png,well\ngone,ill\ngone,ill\n,ill\n,well\nill/0,ill\n,\n"
    (scans / "labels.csv").write_text("path,label\n" + rows)
    data = settings("table", root=str(scans), table="labels.csv")
    facts = acquire(data, Acquire(None, "alias", 0), tmp_path / "a")
    assert (facts["scans"], facts["unusable"]) == (7, 5)
    listing = pd.read_parquet(tmp_path / "a" / "listing.parquet")
    assert sorted(listing["problem"]) == ["", "", *["file not found"] * 3, *["the path is empty"] * 2]
    (scans / "labels.csv").write_text("path,label\nill/2.PNG,ill\nwell/1.png,well\n")
    (warning,) = acquire(data, Acquire(None, "alias", 0), tmp_path / "b")["warnings"]
    assert warning.startswith("1 rows name a file otherwise than the disk does")
    assert "png" not in warning


def test_an_altered_medmnist_file_is_a_warning(shared_data: Path, settings: Make, tmp_path: Path) -> None:
    for name, warned in (("pneumoniamnist", True), ("adrenalmnist3d", False)):
        dims = 3 if name.endswith("3d") else 2
        data = settings("medmnist", root=str(shared_data / "medmnist" / f"{name}.npz"), dims=dims)
        warnings = acquire(data, Acquire(None, "plain", 0), tmp_path / name)["warnings"]
        expected = f"{name}.npz is an altered copy: its MD5 is not the published one of {name}."
        assert warnings == ([expected] if warned else [])


def test_limit(scans: Path, settings: Make, tmp_path: Path) -> None:
    facts = acquire(settings("folder", root=str(scans)), Acquire(4, "plain", 0), tmp_path / "a")
    assert facts["classes"] == {"ill": 2, "well": 2}


def test_nothing_is_written_when_refused(settings: Make, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="does not exist"):
        acquire(settings("folder", root=str(tmp_path / "absent")), Acquire(None, "plain", 0), tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_phantoms_are_listed_as_a_table(settings: Make, tmp_path: Path) -> None:
    balance = {"normal": 1.0, "nodule": 1.0, "opacity": 1.0, "effusion": 1.0}
    phantom = Phantom(8, [1, 2], [96, 112], balance, 0.5, 0.0)
    labels = ["normal", "nodule", "opacity", "effusion"]
    data = settings("phantom", root="phantom.yaml", labels=labels, phantom=phantom)
    facts = acquire(data, Acquire(None, "plain", 0), tmp_path)
    root, source = read_source(tmp_path)
    assert (source["kind"], root, source["labels"]) == ("phantom", tmp_path, labels)
    listing = pd.read_parquet(tmp_path / "listing.parquet")
    assert (facts["scans"], facts["unusable"], facts["patients"]) == (len(listing), 0, 8)
    for path in listing["path"]:
        scan = read_scan(root, path, dims=2, max_pixels=10**6)
        assert scan.pixels.shape[0] == 1
        assert scan.spacing is not None


def test_sorted_text_columns(scans: Path, settings: Make) -> None:
    (scans / "labels.csv").write_text("path,label\nwell/1.png,well\nill/2.png,ill\nill/0.png,ill\n")
    listing = list_scans(settings("table", table="labels.csv"), scans)
    assert tuple(listing.columns) == LISTING_COLUMNS
    assert list(listing["path"]) == ["ill/0.png", "ill/2.png", "well/1.png"]
    assert all(isinstance(value, str) for value in listing.to_numpy().ravel())


def test_a_patient_in_two_splits_is_left_to_the_gate(scans: Path, settings: Make) -> None:
    rows = (
        "path,label,patient,split\nill/0.png,ill,Doe,train\nill/2.png,ill,Doe,test\nwell/1.png,well,Roe,val\n"
    )
    (scans / "labels.csv").write_text(rows)
    listing = list_scans(settings("table", table="labels.csv"), scans)
    assert listing["split"].tolist() == ["train", "test", "val"]
    assert listing["patient"].nunique() == 2
    assert not listing.astype(str).apply(lambda column: column.str.contains("Doe")).any().any()


@pytest.mark.parametrize(
    ("rows", "changes", "reason"),
    [
        ("ill/0.png,ill\nill/2.png,ill", {}, "At least two classes.*found 1: ill"),
        ("ill/0.png,ill\nwell/1.png,well", {"labels": ["ill", "well", "odd"]}, "'odd' is empty"),
        ("ill/0.png,ill\nx.png,well", {}, r"'well' is empty: none of its 1.*x\.png: file not found"),
        (
            "ill/0.png,a\nill/2.png,b\nill/4.png,c",
            {"task": "binary"},
            r"data\.task is binary.*3 classes: a, b, c",
        ),
        (
            "ill/0.png,ill\nwell/1.png,well",
            {"positive": "il"},
            r"data\.positive is 'il', but the classes are ill, well",
        ),
    ],
)
def test_refused(scans: Path, settings: Make, rows: str, changes: dict[str, object], reason: str) -> None:
    (scans / "labels.csv").write_text(f"path,label\n{rows}\n")
    with pytest.raises(SettingsError, match=reason):
        list_scans(settings("table", table="labels.csv", **changes), scans)


@pytest.mark.parametrize("kind", ["folder", "table", "medmnist"])
def test_absent_root(tmp_path: Path, settings: Make, kind: str) -> None:
    with pytest.raises(SettingsError, match=r"does not exist.*data\.root"):
        list_scans(settings(kind, table="labels.csv"), tmp_path / "absent")

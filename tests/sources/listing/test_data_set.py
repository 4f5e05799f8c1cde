"""What is wrong with a whole data set stops it before any scan is opened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from scanlens.config.schema import Data
from scanlens.errors import SettingsError
from scanlens.sources.listing.columns import LISTING_COLUMNS
from scanlens.sources.listing.data_set import list_scans

Make = Callable[..., Data]


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

"""Label tables: what a row may say, and what each mistake is answered with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from scanlens.config.schema import Data
from scanlens.errors import SettingsError
from scanlens.sources.pseudonym import load_key, pseudonym
from scanlens.sources.table import list_table

Make = Callable[..., Data]
HEADER = "path,label,patient_id,split,source\n"


def table(root: Path, text: str, name: str = "labels.csv") -> None:
    (root / name).write_text(text, encoding="utf-8")


def test_every_column_arrives(scans: Path, settings: Make) -> None:
    table(scans, "\ufeff" + HEADER + "well/1.png, well ,P1,Training,A\nill/0.png,ill,,dev,\n")
    listing = list_table(settings("table", table="labels.csv"), scans)
    assert listing.to_dict("records") == [
        {
            "path": "well/1.png",
            "label": "well",
            "patient": pseudonym("P1", load_key()),
            "site": "A",
            "split": "train",
            "mask": "",
            "problem": "",
        },
        {
            "path": "ill/0.png",
            "label": "ill",
            "patient": "",
            "site": "",
            "split": "val",
            "mask": "",
            "problem": "",
        },
    ]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("absent.png,ill,1", "file not found"),
        ("../scans.png,ill,1", "outside the data root"),
        ("/etc/hostname,ill,1", "outside the data root"),
        ("well,ill,1", "a folder, not a file"),
        (",ill,1", "the path is empty"),
        ("ill/0.png,,1", "no label"),
        ("./ill/2.png,ill,1", "listed more than once"),
    ],
)
def test_a_row_at_fault_keeps_its_place(scans: Path, settings: Make, row: str, problem: str) -> None:
    table(scans, f"path,label,patient_id\nill/2.png,ill,1\n{row}\n")
    assert list(list_table(settings("table", table="labels.csv"), scans)["problem"]) == ["", problem]


def test_contradicting_rows_are_both_unusable(scans: Path, settings: Make) -> None:
    table(scans, "path,label\nill/2.png,ill\nill/2.png,well\nill/4.png,ill\n")
    problems = list(list_table(settings("table", table="labels.csv"), scans)["problem"])
    assert problems == ["listed with different labels"] * 2 + [""]


def test_absolute_paths_below_the_root_become_relative(scans: Path, settings: Make) -> None:
    table(scans, f"path,label\n{scans / 'ill' / '0.png'},ill\n")
    assert list(list_table(settings("table", table="labels.csv"), scans)["path"]) == ["ill/0.png"]


def test_masks_are_checked(scans: Path, settings: Make) -> None:
    table(scans, "path,label,mask\nill/0.png,ill,ill/2.png\nill/4.png,ill,../m.png\nwell/1.png,well,\n")
    listing = list_table(settings("table", table="labels.csv"), scans)
    assert list(listing["mask"]) == ["ill/2.png", "../m.png", ""]
    assert list(listing["problem"]) == ["", "mask: outside the data root", ""]


def test_parquet_keeps_whole_numbers(scans: Path, settings: Make) -> None:
    frame = pd.DataFrame({"path": ["ill/0.png", "well/1.png"], "label": [0, 1], "patient": [7, None]})
    frame.to_parquet(scans / "labels.parquet")
    listing = list_table(settings("table", table="labels.parquet"), scans)
    assert list(listing["label"]) == ["0", "1"]
    assert list(listing["patient"]) == [pseudonym("7", load_key()), ""]


@pytest.mark.parametrize(
    ("text", "changes", "reason"),
    [
        (
            "path,label\nill/0.png,ill\nwell/1.png,wel\n",
            {"labels": ["ill", "well"]},
            "row 2.*'wel'.*ill, well",
        ),
        ("path,label,split\nill/0.png,ill,later\n", {}, "row 1.*'later'.*'split'"),
        ("path,klass\nill/0.png,ill\n", {}, r"labels\.csv has no column 'label'.*path, klass"),
        ("path,label\n", {}, "has no rows"),
        ("", {}, r"cannot be read \(EmptyDataError\)"),
        ("path,label\na,b,c\n", {}, r"cannot be read \(ParserWarning\)"),
        ("path,label\na,b\na,b,c\n", {}, r"cannot be read \(ParserError\)"),
        ("path,label\n", {"table": "absent.csv"}, r"absent\.csv.*file not found.*Tables there: labels\.csv"),
        ("path,label\n", {"table": "../labels.csv"}, "outside the data root"),
        ("path,label\n", {"table": None}, r"data\.table is not set"),
        ("path,label\n", {"table": "ill/0.png"}, "neither"),
    ],
)
def test_a_table_at_fault_stops_everything(
    scans: Path, settings: Make, text: str, changes: dict[str, object], reason: str
) -> None:
    table(scans, text)
    with pytest.raises(SettingsError, match=reason):
        list_table(settings("table", **({"table": "labels.csv"} | changes)), scans)


def test_damaged_files_are_refused(scans: Path, settings: Make) -> None:
    (scans / "labels.parquet").write_bytes(b"PAR1 not really")
    (scans / "labels.csv").write_bytes(b"path,label\n\xff\xfe\x00,a\n")
    for name in ("labels.parquet", "labels.csv"):
        with pytest.raises(SettingsError, match="cannot be read"):
            list_table(settings("table", table=name), scans)

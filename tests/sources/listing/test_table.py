"""Label tables: what a row may say, and what each mistake is answered with."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from scanlens.config.schema import Data
from scanlens.errors import SettingsError
from scanlens.privacy.pseudonym import load_key, pseudonym
from scanlens.sources.listing.table import date_ranks, list_table
from tests.sources.readers.test_series_index import write_series

Make = Callable[..., Data]
HEADER = "path,label,patient_id,split,source,StudyDate\n"


def table(root: Path, text: str, name: str = "labels.csv") -> None:
    (root / name).write_text(text, encoding="utf-8")


def test_every_column_arrives(scans: Path, settings: Make) -> None:
    table(scans, "\ufeff" + HEADER + "well/1.png, well ,P1,Training,A,20200102\nill/0.png,ill,,dev,,\n")
    listing = list_table(settings("table", table="labels.csv"), scans)
    assert listing.to_dict("records") == [
        {
            "path": "well/1.png",
            "label": "well",
            "patient": pseudonym("P1", load_key()),
            "site": "A",
            "split": "train",
            "mask": "",
            "date": "000000",
            "problem": "",
        },
        {
            "path": "ill/0.png",
            "label": "ill",
            "patient": "",
            "site": "",
            "split": "val",
            "mask": "",
            "date": "",
            "problem": "",
        },
    ]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("absent.png,ill,1", "file not found"),
        ("../scans.png,ill,1", "outside the data root"),
        ("/etc/hostname,ill,1", "outside the data root"),
        ("C:\\ill\\0.png,ill,1", "outside the data root"),
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


def test_dates_leave_as_their_order_only(scans: Path, settings: Make) -> None:
    rows = ("0.png,ill,2021-03-01", "2.png,ill,2019-07-30", "4.png,ill,")
    table(scans, "path,label,date\n" + "".join(f"ill/{row}\n" for row in rows))
    listing = list_table(settings("table", table="labels.csv"), scans)
    assert list(listing["date"]) == ["000001", "000000", ""]
    table(scans, "path,label,date\nill/0.png,ill,03/04/2021\nill/2.png,ill,05/02/2021\n")
    assert list(list_table(settings("table", table="labels.csv"), scans)["date"]) == ["", ""]
    with pytest.raises(SettingsError, match=r"'date'.*day and month.*YYYY-MM-DD") as refused:
        list_table(settings("table", table="labels.csv", date="date"), scans)
    assert "2021" not in str(refused.value)


def test_cells_name_parts(scans: Path, settings: Make) -> None:
    with zipfile.ZipFile(scans / "x.zip", "w") as archive:
        archive.write(scans / "ill" / "0.png", "in/a.png")
    table(
        scans,
        "path,label\nx.zip#member/in/a.png,ill\nx.zip#member/b.png,ill\nx.zip,ill\n"
        f"{scans}/x.zip#member/in/a.png,ill\nill#series/0123456789ab,ill\nabsent#series/0123456789ab,ill\n",
    )
    listing = list_table(settings("table", table="labels.csv"), scans)
    assert list(listing["path"][:4]) == [
        "x.zip#member/in/a.png",
        "x.zip#member/b.png",
        "x.zip",
        "x.zip#member/in/a.png",
    ]
    assert list(listing["problem"]) == [
        "",
        "there is no such file in the archive",
        "",
        "listed more than once",
        "a series of slices is a volume: set data.dims=3",
        "file not found",
    ]
    volumes = list_table(settings("table", table="labels.csv", dims=3), scans)
    assert volumes["problem"][4] == ""


def test_masks_are_checked(scans: Path, settings: Make) -> None:
    table(scans, "path,label,mask\nill/0.png,ill,ill/2.png\nill/4.png,ill,../m.png\nwell/1.png,well,\n")
    listing = list_table(settings("table", table="labels.csv"), scans)
    assert list(listing["mask"]) == ["ill/2.png", "../m.png", ""]
    assert list(listing["problem"]) == ["", "mask: outside the data root", ""]
    table(
        scans,
        "path,label,mask\nill/0.png,ill,ill/2.png | ./ill/4.png\nwell/1.png,well,ill/2.png|absent.png\n",
    )
    listing = list_table(settings("table", table="labels.csv"), scans)
    assert list(listing["mask"]) == ["ill/2.png|ill/4.png", "ill/2.png|absent.png"]
    assert list(listing["problem"]) == ["", "mask: file not found"]


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


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["2021-03-01", "2019-07-30", "", "2021-03-01"], ["000001", "000000", "", "000001"]),
        (["20210301", "20190730"], ["000001", "000000"]),
        (["2021-03-01T12:30:00", "2021-03-01", "2021-03-02T00:00:00Z"], ["000001", "000000", "000002"]),
        (["2021.03.01", "2019.12.30"], ["000001", "000000"]),
        (["01.03.2021", "30.12.2019"], ["000001", "000000"]),
        (["2021", "2019"], ["000001", "000000"]),
        # Day first, as one value shows: 2 April 2020 is after 25 March.
        (["02/04/2020", "25/03/2020"], ["000001", "000000"]),
        # Month first: 4 February 2020 is before 25 March.
        (["02/04/2020", "03/25/2020"], ["000000", "000001"]),
        # Both readings give the same order.
        (["01/01/2020", "02/02/2020"], ["000000", "000001"]),
        (["3 March 2021", "Jan 5, 2019"], ["000001", "000000"]),
        (["", ""], ["", ""]),
    ],
)
def test_places(values: list[str], expected: list[str]) -> None:
    assert date_ranks(pd.Series(values, dtype="str")) == expected


@pytest.mark.parametrize("values", [["2021-03-01", "soon"], ["02/04/2020", "03/03/2020"], ["99999999"]])
def test_no_dates_or_not_to_be_told(values: list[str]) -> None:
    assert date_ranks(pd.Series(values, dtype="str")) is None


def test_any_index() -> None:
    assert date_ranks(pd.Series(["2021", "", "2020"], index=[7, 3, 9], dtype="str")) == [
        "000001",
        "",
        "000000",
    ]


def test_empty_rows_are_passed_over_and_numbers_stay_those_of_the_table(scans: Path, settings: Make) -> None:
    told: list[str] = []
    table(scans, "path,label,patient\n,,\nill/0.png,NA,nan\n , ,\nill/2.png,ill,unknown\n,ill,P1\n,well,P1\n")
    listing = list_table(settings("table", table="labels.csv"), scans, told.append)
    assert listing["problem"].tolist() == ["no label: 'NA'", "", "the path is empty", "the path is empty"]
    assert listing["patient"].tolist() == ["", "", *[pseudonym("P1", load_key())] * 2]
    assert told == [
        "labels.csv: 1 rows have a word for nothing as their label and are quarantined: 'NA' (1). "
        "Where such a word is a class, name it in data.labels."
    ]
    table(scans, "path,label\nill/0.png,+\nill/2.png,-\n")
    assert list_table(settings("table", table="labels.csv"), scans)["label"].tolist() == ["+", "-"]
    table(scans, "path,label\nill/0.png,none\nill/2.png,mild\nill/4.png,severe\nill/4.png,bad\n")
    with pytest.raises(SettingsError, match=r"row 4.*'bad'"):
        list_table(settings("table", table="labels.csv", labels=["none", "mild", "severe"]), scans)


@pytest.mark.parametrize(
    ("rows", "problems"),
    [
        # An unlabelled row contradicts none, and an unusable row is no first of several.
        ("ill/0.png,,,\nill/0.png,ill,,\n", ["no label", ""]),
        ("ill/0.png,ill,,absent.png\nill/0.png,ill,,\n", ["mask: file not found", ""]),
        ("ill/0.png,ill,P1,\nill/0.png,ill,P2,\n", ["listed with different patients"] * 2),
        ("ill/0.png,ill,P1,\nill/0.png,ILL,P1,\nIll\\0,ill,P1,\n", ["", *["listed more than once"] * 2]),
    ],
)
def test_rows_about_one_file(scans: Path, settings: Make, rows: str, problems: list[str]) -> None:
    table(scans, f"path,label,patient,mask\n{rows}")
    listing = list_table(settings("table", table="labels.csv"), scans, lambda told: None)
    assert listing["problem"].tolist() == problems


def test_files_are_found_otherwise_spelt_and_named_where_several_fit(scans: Path, settings: Make) -> None:
    (scans / "ill" / "2.jpg").write_bytes(b"")
    with zipfile.ZipFile(scans / "x.zip", "w") as archive:
        archive.write(scans / "ill" / "0.png", "in/a.png")
    told: list[str] = []
    table(
        scans,
        "path,label,mask\nIll\\0.PNG,ill,ill\\4\nill/2,ill,\nabsent,ill,\nx.zip#member/in\\a.png,ill,\n",
    )
    listing = list_table(settings("table", table="labels.csv"), scans, told.append)
    assert listing["path"].tolist() == ["ill/0.png", "ill/2", "absent", "x.zip#member/in/a.png"]
    assert listing["mask"].tolist() == ["ill/4.png", "", "", ""]
    nearest = "file not found: the nearest names are 'ill/2.jpg', 'ill/2.png'"
    assert listing["problem"].tolist() == ["", nearest, "file not found", ""]
    assert len(told) == 1
    assert told[0].startswith("1 rows name a file otherwise than the disk does")


def test_patients_are_found_however_their_column_is_called(scans: Path, settings: Make) -> None:
    body = "".join(f"ill/{number}.png,ill,{number // 4}\n" for number in (0, 2, 4))
    table(scans, f"path,label,Anon. Subject No\n{body}")
    listing = list_table(settings("table", table="labels.csv"), scans)
    assert listing["patient"].nunique() == 2
    table(scans, f"path,label,id\n{body}ill/5.png,ill,2\n")
    with pytest.raises(SettingsError, match=r"'id' looks like patients.*data\.columns\.patient=id"):
        list_table(settings("table", table="labels.csv"), scans)
    assert list_table(settings("table", table="labels.csv", patient="id"), scans)["patient"].nunique() == 3
    assert (list_table(settings("table", table="labels.csv", patient=None), scans)["patient"] == "").all()


def test_numbers_with_a_decimal_comma(scans: Path, settings: Make) -> None:
    table(scans, "path;label\nill/0.png;0,5\nill/2.png;2\nill/4.png;nan\n")
    listing = list_table(settings("table", table="labels.csv", task="regression"), scans, lambda told: None)
    assert listing["label"].tolist() == ["0.5", "2.0", ""]


def test_a_folder_with_a_part_of_a_series_is_unusable(tmp_path: Path, settings: Make) -> None:
    for path in write_series(tmp_path / "disk" / "a", 1, slices=6)[3:]:
        (tmp_path / "disk" / "b").mkdir(exist_ok=True)
        path.rename(tmp_path / "disk" / "b" / path.name)
    write_series(tmp_path / "other", 2)
    table(tmp_path, "path,label\ndisk/a,ill\ndisk,well\nother,ill\n")
    listing = list_table(settings("table", table="labels.csv", dims=3), tmp_path)
    assert listing["problem"][0].startswith(
        "a part of a series in 2 folders: name the one that holds them, #series/"
    )
    assert list(listing["problem"][1:]) == ["", ""]

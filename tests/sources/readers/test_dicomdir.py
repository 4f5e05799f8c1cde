"""A DICOMDIR says what a medium should hold; what it names and is missing is told."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.fileset import FileSet
from pydicom.uid import generate_uid

from scanlens.errors import UnreadableScan
from scanlens.sources.listing.tree import list_tree
from scanlens.sources.read import read_scan
from scanlens.sources.readers import dicomdir
from scanlens.sources.readers.dicomdir import is_dicomdir, missing_files
from tests.helpers.dicom import ct_slice, save

ACROSS = (1, 0, 0, 0, 1, 0)


@pytest.fixture
def medium(tmp_path: Path) -> Path:
    """Two series of three slices of one study, as pydicom writes a medium."""
    (tmp_path / "drawn").mkdir()
    medium = FileSet()
    for series in (1, 2):
        for number in range(3):
            stored = np.full((6, 6), 100 * series + number, np.uint16)
            made = ct_slice(stored, (0, 0, 5 * number), ACROSS, 10 * series + number)
            made.PatientName, made.StudyID = "Doe^Jane", "1"
            made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = generate_uid()
            made.SeriesInstanceUID = f"1.2.3.{series}"
            made.SeriesNumber, made.InstanceNumber = series, number
            made.StudyDate, made.StudyTime, made.StudyDescription = "20200101", "120000", "chest"
            made.AccessionNumber = "17"
            medium.add(save(tmp_path / "drawn", made))
    medium.write(tmp_path / "medium")
    shutil.rmtree(tmp_path / "drawn")
    return tmp_path / "medium"


def listed(medium: Path) -> list[Path]:
    return sorted(path for path in medium.rglob("*") if path.is_file() and path.name != "DICOMDIR")


def test_nothing_is_missing(medium: Path) -> None:
    assert len(listed(medium)) == 6
    assert is_dicomdir(medium / "DICOMDIR")
    assert missing_files(medium / "DICOMDIR", "DICOMDIR") == []
    for dims, count in ((2, 6), (3, 2)):
        tree = list_tree(medium, dims=dims)
        assert len(tree) == count
        assert (tree["problem"] == "").all()
        for reference in tree["path"]:
            assert read_scan(medium, reference, dims=dims, max_pixels=9999).pixels.ndim == dims + 1


def test_missing_files_are_named(medium: Path) -> None:
    gone = listed(medium)[2]
    gone.unlink()
    name = gone.relative_to(medium).as_posix()
    assert missing_files(medium / "DICOMDIR", "DICOMDIR") == [name]
    tree = list_tree(medium.parent, dims=2).set_index("path")["problem"]
    assert tree[tree != ""].to_dict() == {f"medium/{name}": "missing: a DICOMDIR names it"}


def test_names_as_other_systems_show_them(medium: Path) -> None:
    for path in listed(medium):
        path.rename(path.with_name(f"{path.name.lower()};1"))
    for folder in sorted((path for path in medium.rglob("*") if path.is_dir()), reverse=True):
        folder.rename(folder.with_name(folder.name.lower()))
    assert missing_files(medium / "DICOMDIR", "DICOMDIR") == []


def test_records_that_lead_elsewhere_or_in_a_circle(medium: Path) -> None:
    dataset = dcmread(medium / "DICOMDIR")
    records = dataset.DirectoryRecordSequence
    for record in records:
        record.OffsetOfTheNextDirectoryRecord = records[0].seq_item_tell
    records[-1].ReferencedFileID = ["..", "..", "SECRET"]
    dataset.save_as(medium / "DICOMDIR")
    assert missing_files(medium / "DICOMDIR", "DICOMDIR") == []


@pytest.mark.parametrize("content", [b"", b"not DICOM", bytes(128) + b"DICM" + bytes(99)])
def test_a_damaged_one_is_a_row(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "DICOMDIR").write_bytes(content)
    with pytest.raises(UnreadableScan, match="a damaged DICOMDIR"):
        missing_files(tmp_path / "DICOMDIR", "DICOMDIR")
    assert list_tree(tmp_path, dims=2)["path"].tolist() == ["DICOMDIR"]


def test_zeros_behind_the_records_do_not_matter(medium: Path) -> None:
    with (medium / "DICOMDIR").open("ab") as file:
        file.write(bytes(1 << 20))
    listed(medium)[0].unlink()
    assert len(missing_files(medium / "DICOMDIR", "DICOMDIR")) == 1


@pytest.mark.parametrize(
    "body", [bytes(8 << 20) + b"x", b"\xfe\xff\x00\xe0\0\0\0\0" * (1 << 19), bytes(17 << 20)]
)
def test_nothing_but_empty_records_is_not_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    def parsed(*_: object) -> object:
        raise AssertionError("it would take minutes")

    monkeypatch.setattr(dicomdir, "read_partial", parsed)
    (tmp_path / "DICOMDIR").write_bytes(bytes(128) + b"DICM" + body)
    with pytest.raises(UnreadableScan, match=r"empty records|far larger"):
        missing_files(tmp_path / "DICOMDIR", "DICOMDIR")


def test_a_scan_called_so_is_a_row(tmp_path: Path) -> None:
    save(tmp_path, ct_slice(np.zeros((4, 4), np.uint16), (0, 0, 0), ACROSS), "dicomdir")
    (row,) = list_tree(tmp_path, dims=2).to_dict("records")
    assert row["path"] == "dicomdir"
    assert row["problem"] != ""

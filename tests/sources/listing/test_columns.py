"""Columns are found by their usual names, and a missing one is named with what there is."""

from __future__ import annotations

import pytest

from scanlens.config.schema import Columns
from scanlens.errors import SettingsError
from scanlens.sources.listing.columns import find_columns

AUTO = Columns("path", "label", "auto", "auto", "auto", "auto", "auto")


def test_usual_names_whatever_their_case() -> None:
    header = ["path", "label", "PatientID", "Set", " Hospital", "mask_path", "age"]
    assert find_columns(AUTO, header, "t") == {
        "path": "path",
        "label": "label",
        "patient": "PatientID",
        "split": "Set",
        "site": " Hospital",
        "mask": "mask_path",
    }


def test_null_means_none_and_names_are_taken_as_written() -> None:
    columns = Columns("Path", "y", None, None, "source", None, None)
    header = ["Path", "y", "patient", "split", "source"]
    assert find_columns(columns, header, "t") == {"path": "Path", "label": "y", "site": "source"}


@pytest.mark.parametrize("wanted", ["auto", "patient_id", "PATIENT ID"])
@pytest.mark.parametrize("name", ["Patient ID", "patient_id", "PatientID", " patient-id ", "Patient.Id"])
def test_case_and_separators_do_not_matter(name: str, wanted: str) -> None:
    columns = Columns("path", "label", wanted, None, None, None, None)
    assert find_columns(columns, ["Path", name, "LABEL"], "t") == {
        "path": "Path",
        "label": "LABEL",
        "patient": name,
    }


def test_two_columns_of_one_name_are_told_apart_or_refused() -> None:
    header = ["path", "label", "Patient ID", "patient_id"]
    exact = Columns("path", "label", "Patient ID", None, None, None, None)
    assert find_columns(exact, header, "t")["patient"] == "Patient ID"
    with pytest.raises(
        SettingsError, match=r"several columns for data\.columns\.patient: 'Patient ID', 'pat"
    ):
        find_columns(AUTO, header, "t")
    with pytest.raises(SettingsError, match=r"several columns for data\.columns\.label: 'label', 'label'"):
        find_columns(AUTO, ["path", "label", "label.1"], "t")


@pytest.mark.parametrize(
    ("columns", "role", "close"),
    [
        (AUTO, "label", "Labels"),
        (Columns("path", "Labels", "patients", None, None, None, None), "patient", "patient_id"),
        (Columns("path", "Labels", None, None, None, "segment", None), "mask", ""),
    ],
)
def test_a_missing_column_is_named(columns: Columns, role: str, close: str) -> None:
    with pytest.raises(SettingsError) as refused:
        find_columns(columns, ["path", "Labels", "patient_id"], "labels.csv")
    text = str(refused.value)
    assert f"data.columns.{role}" in text
    assert "labels.csv" in text
    assert "path, Labels, patient_id" in text
    assert (f"closest: {close!r}" in text) == bool(close)

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


@pytest.mark.parametrize(
    ("columns", "role", "close"),
    [
        (AUTO, "label", "Labels"),
        (Columns("path", "Labels", "patientid", None, None, None, None), "patient", "patient_id"),
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

"""Columns that name patients are recognised however spelt, and none is passed over in silence."""

from __future__ import annotations

import pandas as pd
import pytest

from scanlens.errors import SettingsError
from scanlens.sources.listing.patients import names_patients, refuse_unused, warn_of_spellings


@pytest.mark.parametrize(
    "column",
    [
        "Patient ID",
        "PatientID",
        "participant_id",
        "subject",
        "Subject No.",
        "anon_patient_id",
        "Patienten-Nr",
        "MRN",
    ],
)
def test_names_of_patients(column: str) -> None:
    assert names_patients(column)


@pytest.mark.parametrize(
    "column", ["Patient Age", "patient_sex", "Patient Position", "subject_group", "age", "id", "1" * 60 + "x"]
)
def test_other_names(column: str) -> None:
    assert not names_patients(column)


def test_an_unused_column_that_repeats_is_refused() -> None:
    table = pd.DataFrame({"id": list("aabbcc"), "Patient Age": list("778899"), "scan": list("abcdef")})
    with pytest.raises(
        SettingsError, match=r"'id'.*3 different values in 6 rows.*Set data\.columns\.patient=id;"
    ):
        refuse_unused(table, None, ["Patient Age", "scan", "id"], "t.csv")
    refuse_unused(table.assign(id=list("abcdef")), None, ["id"], "t.csv")


def test_a_second_column_must_part_no_patient() -> None:
    table = pd.DataFrame({"patient": list("aabbcc"), "Subject ID": list("xxyyyy")})
    with pytest.raises(
        SettingsError, match=r"'Subject ID'.*otherwise than 'patient'.*patient='Subject ID' or"
    ):
        refuse_unused(table, "patient", ["Subject ID"], "t.csv")
    refuse_unused(table, "Subject ID", ["patient"], "t.csv")


def test_alike_patients_are_told_by_row_and_never_by_name() -> None:
    told: list[str] = []
    names = pd.Series(["7", "12", "007", "P-8", "p_8", "", "12", "7.0"], index=range(1, 9))
    warn_of_spellings(names, "t.csv", told.append)
    assert "2 patients' names" in told[0]
    assert "rows 1 and 3 and 8; 4 and 5)" in told[0]
    assert "12" not in told[0]
    assert "P-8" not in told[0]
    warn_of_spellings(pd.Series(["7", "8", "7"]), "t.csv", told.append)
    assert len(told) == 1

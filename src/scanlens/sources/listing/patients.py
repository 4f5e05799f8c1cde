"""Columns that name patients: recognised however spelt, and never passed over in silence."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pandas as pd

from scanlens.errors import SettingsError
from scanlens.sources.listing.cells import spelling_key
from scanlens.sources.listing.columns import Tell, plain

_WHO = (
    "patients?|patienten?|patientinn?en?|pacientes?|pazienti?|subjects?|subj|participants?|probands?|persons?|"
    "individuals?|pseudonyms?|患者"
)
_WHICH = (
    "ids?|uid|identifier|identification|number|nummer|numero|no|nr|num|name|code|key|hash|index|idx|pseudonym|"
    "anon|anonym(?:ous|i[sz]ed)?|deid(?:entified)?|dicom|study|hospital|original|source|the|of|\\d"
)
_PATIENTS = re.compile(rf"(?:{_WHICH})*(?:{_WHO})(?:{_WHICH})*|(?:mrn|ptid|patid|patno|patnr|patnum)\d*")
_PERHAPS = frozenset(
    {
        "id", "ids", "pid", "eid", "rid", "case", "caseno", "casenumber", "caseid", "record", "recordid",
        "recordnumber", "hospitalnumber", "fallnummer",
    }
)  # fmt: skip
"""Names of columns that may name patients or something else."""
_SHOWN = 20


def names_patients(column: str) -> bool:
    """Whether a column's name says that it names patients: ``Patient ID``, ``participant_id``, ``SubjectNo``.

    ``patient_age`` and the like say something of patients, not who they are.
    """
    return _PATIENTS.fullmatch(plain(column)) is not None


def refuse_unused(table: pd.DataFrame, used: str | None, others: Sequence[str], where: str) -> None:
    """Refuse a column that looks like patients, is not used and would keep more scans together.

    Args:
        table: Text, empty where unknown.
        used: The column of the patients, or None.
        others: Columns that are not used.
        where: The table's name.

    Raises:
        SettingsError: With the column and the remedy.
    """
    for column in others:
        by_name = names_patients(column)
        if not by_name and (used is not None or plain(column) not in _PERHAPS):
            continue
        known = table[table[column] != ""]
        rows = known.groupby(column).size()
        if used is None:
            together = bool(len(rows) > 2 and rows.max() > 1)
        else:
            several = known[known[used] != ""].groupby(column)[used].nunique()
            together = bool((several > 1).any())
        if not together:
            continue
        beside = f", and parts them otherwise than {used!r}" if used is not None else ""
        raise SettingsError(
            f"{where}: column {column!r} looks like patients ({len(rows)} different values in {len(known)} "
            f"rows) and is not used{beside}: scans of one patient could come into several splits.",
            f"Set data.columns.patient={_quoted(column)}"
            + (f" or data.columns.patient={_quoted(used)}" if used is not None else "")
            + "; rename the column where it is something else, or set data.columns.patient=null where no "
            "scan's patient is known.",
        )


def warn_of_spellings(patients: pd.Series, where: str, tell: Tell) -> None:
    """Tell of patients whose names differ only in zeros, case or separators; by row, as a name identifies.

    Args:
        patients: Names, empty where unknown, indexed by the row's number in the table.
        where: The table's name.
        tell: Told of them.
    """
    first = patients[patients != ""].drop_duplicates()
    groups = [rows.index for _, rows in first.groupby(first.map(spelling_key), sort=False) if len(rows) > 1]
    if not groups:
        return
    pairs = "; ".join(" and ".join(map(str, rows)) for rows in groups[:_SHOWN])
    more = f"; and {len(groups) - _SHOWN} more" if len(groups) > _SHOWN else ""
    tell(
        f"{where}: {len(groups)} patients' names differ from others' only in leading zeros, number format, "
        f"case or separators, such as 7 and 007 (rows {pairs}{more}). They count as different patients, "
        "whose scans may come into several splits: write each patient in one way."
    )


def _quoted(column: str) -> str:
    return column if re.fullmatch(r"\w+", column) else repr(column)

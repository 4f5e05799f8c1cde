"""The listing's columns, and finding them in somebody's label table."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import pandas as pd

from scanlens.config.schema import Columns
from scanlens.errors import SettingsError

LISTING_COLUMNS = ("path", "label", "patient", "site", "split", "mask", "date", "problem")
"""All text, empty where unknown: ``path`` and ``mask`` relative to the data root (several masks of one scan
are separated by ``|``), ``patient`` a pseudonym, ``split`` train, val or test where the data declares it,
``date`` its place in the order of acquisition dates (six digits, from 000000; no date), ``problem`` why the
row cannot be used."""

MASKS = "|"
"""Between several masks of one scan."""
FURTHER = "column "
"""Begins the names of what else a listing may hold: the label table's further columns, made anonymous."""

AUTO = "auto"
_REQUIRED = ("path", "label")
_ALIASES = {
    "path": ("path", "file", "filename", "file_name", "filepath", "file_path", "image", "image_path"),
    "label": ("label", "class", "target", "diagnosis"),
    "patient": ("patient", "patient_id", "patientid", "subject", "subject_id", "case_id"),
    "split": ("split", "set", "partition"),
    "site": ("site", "source", "hospital", "institution", "centre", "center"),
    "mask": ("mask", "mask_path"),
    "date": ("date", "acquisition_date", "acquisitiondate", "study_date", "studydate", "scan_date"),
}


def empty_listing(rows: int) -> pd.DataFrame:
    """Return a listing of so many rows in which nothing is known yet."""
    return pd.DataFrame({column: [""] * rows for column in LISTING_COLUMNS}, dtype="str")


def find_columns(columns: Columns, header: Sequence[str], table: str) -> dict[str, str]:
    """Map each listing column to the table's column that holds it; those the table lacks are left out.

    A name is taken as written; ``auto`` looks for the usual names, whatever their case; null means none.

    Raises:
        SettingsError: A column named in the settings, or the path or label column, is not in the table.
    """
    found: dict[str, str] = {}
    for role, aliases in _ALIASES.items():
        named: str | None = getattr(columns, role)
        if named is None:
            continue
        if named == AUTO:
            match = _by_alias(aliases, header)
            if match is not None:
                found[role] = match
            elif role in _REQUIRED:
                raise _missing(role, f"none of {', '.join(aliases)}", aliases[0], header, table)
        elif named in header:
            found[role] = named
        else:
            raise _missing(role, repr(named), named, header, table)
    return found


def _by_alias(aliases: Sequence[str], header: Sequence[str]) -> str | None:
    by_name = {name.strip().casefold(): name for name in reversed(header)}
    return next((by_name[alias] for alias in aliases if alias in by_name), None)


def _missing(role: str, what: str, wanted: str, header: Sequence[str], table: str) -> SettingsError:
    by_name = {name.casefold(): name for name in header}
    close = difflib.get_close_matches(wanted.casefold(), by_name, n=1, cutoff=0.5)
    hint = f" (closest: {by_name[close[0]]!r})" if close else ""
    return SettingsError(
        f"{table} has no column {what} for data.columns.{role}{hint}; its columns are: {', '.join(header)}.",
        f"Set data.columns.{role} to one of them"
        + ("." if role in _REQUIRED else ", or to null where there is none."),
    )

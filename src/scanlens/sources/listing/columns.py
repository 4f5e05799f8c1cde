"""The listing's columns, and finding them in somebody's label table."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence

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

Tell = Callable[[str], None]
"""Takes a sentence that a person should read, without paths and patients."""

AUTO = "auto"
_REQUIRED = ("path", "label")
_ALIASES = {
    "path": ("path", "file", "filename", "filepath", "image", "imagepath", "imageindex", "imagefile", "scan"),
    "label": ("label", "class", "target", "diagnosis", "findinglabels"),
    "patient": ("patient", "patientid", "subject", "subjectid", "participant", "participantid", "caseid"),
    "split": ("split", "set", "partition"),
    "site": ("site", "source", "hospital", "institution", "centre", "center"),
    "mask": ("mask", "maskpath"),
    "date": ("date", "acquisitiondate", "studydate", "scandate"),
}
"""Usual names, in lower case and without blanks, underscores and the like."""
SPLIT_WORDS = {
    **dict.fromkeys(("train", "training", "tr"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev", "development", "tuning"), "val"),
    **dict.fromkeys(("test", "testing", "holdout", "held-out"), "test"),
}
"""Splits by what they are called, in lower case."""


def empty_listing(rows: int) -> pd.DataFrame:
    """Return a listing of so many rows in which nothing is known yet."""
    return pd.DataFrame({column: [""] * rows for column in LISTING_COLUMNS}, dtype="str")


def find_columns(columns: Columns, header: Sequence[str], table: str) -> dict[str, str]:
    """Map each listing column to the table's column that holds it; those the table lacks are left out.

    Case, blanks, underscores and the like do not matter. ``auto`` looks for the usual names; null means none.

    Raises:
        SettingsError: A column named in the settings, or the path or label column, is not in the table, or
            several columns have its name.
    """
    found: dict[str, str] = {}
    for role, aliases in _ALIASES.items():
        named: str | None = getattr(columns, role)
        if named is None:
            continue
        if named == AUTO:
            match = next((one for alias in aliases if (one := _named(alias, header, role, table))), None)
            if match is not None:
                found[role] = match
            elif role in _REQUIRED:
                raise _missing(role, f"none of {', '.join(aliases)}", aliases[0], header, table)
        elif match := named if named in header else _named(named, header, role, table):
            found[role] = match
        else:
            raise _missing(role, repr(named), named, header, table)
        if role in found and f"{found[role]}.1" in header:  # what pandas makes of a repeated name
            raise _several(role, [found[role]] * 2, table)
    return found


def plain(name: str) -> str:
    """A column's name in lower case and without all that is no letter and no digit."""
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def _named(name: str, header: Sequence[str], role: str, table: str) -> str | None:
    """Return the one column of this name, whatever its case and separators."""
    matches = [column for column in header if plain(column) == plain(name)]
    if len(matches) > 1:
        raise _several(role, matches, table)
    return matches[0] if matches else None


def _several(role: str, matches: Sequence[str], table: str) -> SettingsError:
    return SettingsError(
        f"{table} has several columns for data.columns.{role}: {', '.join(map(repr, matches))}.",
        f"Set data.columns.{role} to one of them, exactly as it is written, or rename the others.",
    )


def _missing(role: str, what: str, wanted: str, header: Sequence[str], table: str) -> SettingsError:
    by_name = {plain(name): name for name in header}
    close = difflib.get_close_matches(plain(wanted), by_name, n=1, cutoff=0.5)
    hint = f" (closest: {by_name[close[0]]!r})" if close else ""
    return SettingsError(
        f"{table} has no column {what} for data.columns.{role}{hint}; its columns are: {', '.join(header)}.",
        f"Set data.columns.{role} to one of them"
        + ("." if role in _REQUIRED else ", or to null where there is none."),
    )

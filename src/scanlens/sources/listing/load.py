"""Reading a label table as programs write them: encodings, separators, Parquet."""

from __future__ import annotations

import codecs
import csv
import io
import re
import warnings
from pathlib import Path

import pandas as pd
import pyarrow as pa

from scanlens.errors import SettingsError, UnreadableScan
from scanlens.sources.locate import base_folder, locate

_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_FURTHER_SEPARATORS = (",", ";", "\t", "|")
_PARQUET = (".parquet", ".pq")
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_SNIFFED = 1 << 16
_NAMED_SEPARATOR = re.compile(r'"?sep=(.)"?\r?\n', re.IGNORECASE)
"""A first line by which spreadsheets tell each other."""


def load_table(root: Path, name: str) -> pd.DataFrame:
    """Read the label table: text in every cell, empty where there is nothing.

    Args:
        root: The data root.
        name: ``data.table``.

    Raises:
        SettingsError: There is no such table, it can't be read, or it has no rows.
    """
    try:
        path = locate(root, name)
    except UnreadableScan as error:
        beside = sorted(
            p.name for p in base_folder(root).glob("*") if p.suffix.lower() in (*_SEPARATORS, *_PARQUET)
        )
        there = f" Tables there: {', '.join(beside)}." if beside else ""
        raise SettingsError(
            f"The label table {name} below {root}: {error.reason}.{there}",
            "Set data.table to a path relative to data.root.",
        ) from error
    suffix = path.suffix.lower()
    if suffix not in (*_SEPARATORS, *_PARQUET):
        raise SettingsError(
            f"The label table {name} is neither .csv, .tsv nor .parquet.", "Save it as one of these."
        )
    try:
        table = _read_parquet(path) if suffix in _PARQUET else _read_text(path, _SEPARATORS[suffix], name)
    # pandas' parser errors are ValueErrors
    except (ValueError, OSError, pa.ArrowException, pd.errors.ParserWarning) as error:
        raise SettingsError(
            f"The label table {name} cannot be read ({type(error).__name__}).",
            "Save it again as UTF-8 CSV with one header line, or as Parquet.",
        ) from error
    table.columns = [str(column) for column in table.columns]
    if table.empty:
        raise SettingsError(
            f"The label table {name} has no rows.", "Give it one row per scan below its header."
        )
    return table


def _read_parquet(path: Path) -> pd.DataFrame:
    table = pd.read_parquet(path).convert_dtypes()  # whole numbers beside gaps stay whole: "3", not "3.0"
    return table.astype("str").where(table.notna(), "")


def _read_text(path: Path, own: str, name: str) -> pd.DataFrame:
    text = _decoded(path.read_bytes(), name)
    if named := _NAMED_SEPARATOR.match(text):
        text = text[named.end() :]
    separator = named[1] if named else _separator(text, own)
    with warnings.catch_warnings():
        # Rows longer than the header: pandas would cut them off with a warning.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        table = pd.read_csv(
            io.StringIO(text), sep=separator, dtype="str", keep_default_na=False, index_col=False
        )
    return table.fillna("")


def _decoded(content: bytes, name: str) -> str:
    """UTF-8, or what a byte order mark says; nothing is guessed, as a wrong guess spoils names in silence."""
    encoding = next((encoding for mark, encoding in _MARKS.items() if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        reason = (
            f"byte {content[error.start]:#04x} in line {line} is not {encoding.removesuffix('-sig').upper()}"
        )
    else:
        if "\0" not in text:
            return text
        reason = "it holds NUL characters, as UTF-16 without a byte order mark does"
    raise SettingsError(
        f"The label table {name} cannot be read: {reason}.",
        "Save it as UTF-8 (in Excel: CSV UTF-8), or as Parquet.",
    )


def _separator(text: str, own: str) -> str:
    """The separator that cuts the header into most columns, and every row into as many where there is one.

    Args:
        text: The table.
        own: Separator of the file's ending, kept where nothing speaks against it.
    """
    head = text if len(text) <= _SNIFFED else text[: text.rfind("\n", 0, _SNIFFED) + 1]
    best, most = own, (False, 1)
    for separator in (own, *_FURTHER_SEPARATORS):
        try:
            rows = [row for row in csv.reader(io.StringIO(head, newline=""), delimiter=separator) if row]
        except csv.Error:
            continue
        widths = {len(row) for row in rows}
        fit = (len(widths) == 1, len(rows[0]) if rows else 0)
        if fit[1] > 1 and fit > most:
            best, most = separator, fit
    return best

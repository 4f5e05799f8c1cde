"""A label table (CSV, TSV or Parquet) beside the scans it names."""

from __future__ import annotations

import warnings
from pathlib import Path, PurePosixPath

import pandas as pd
import pyarrow as pa
from tqdm import tqdm

from scanlens.config.schema import Data
from scanlens.errors import SettingsError, UnreadableScan
from scanlens.privacy.pseudonym import load_key, pseudonym
from scanlens.reference import relative_reference
from scanlens.sources.content import parts_of_series, problem_of
from scanlens.sources.listing.columns import AUTO, FURTHER, MASKS, empty_listing, find_columns
from scanlens.sources.listing.labels import refuse_unknown_label
from scanlens.sources.listing.metadata import anonymous_columns
from scanlens.sources.locate import base_folder, locate

_SPLITS = {
    **dict.fromkeys(("train", "training", "tr"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev", "development", "tuning"), "val"),
    **dict.fromkeys(("test", "testing", "holdout", "held-out"), "test"),
}
_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_PARQUET = (".parquet", ".pq")


def list_table(data: Data, root: Path) -> pd.DataFrame:
    """List the rows of the label table; patients leave here as pseudonyms.

    A row whose file is missing or outside the root, that has no label, or that names a file again stays
    in the listing with its ``problem``.

    Raises:
        SettingsError: The table is missing or damaged, lacks a column, or holds an unknown label or split.
    """
    name, table = _load(data, root)
    columns = find_columns(data.columns, list(table.columns), name)
    listing = empty_listing(len(table))
    for role, column in columns.items():
        listing[role] = table[column].str.strip()
    if "date" in columns:
        listing["date"] = _dates(listing["date"], data, columns["date"], name)
    for row, label in enumerate(listing["label"], start=1):
        if label:
            refuse_unknown_label(label, data.labels, _place(name, row))
    if "split" in columns:
        splits = enumerate(listing["split"], start=1)
        listing["split"] = [_split(value, columns["split"], _place(name, row)) for row, value in splits]
    key = load_key()
    if "patient" in columns:
        pseudonyms = {patient: pseudonym(patient, key) for patient in listing["patient"].unique()}
        listing["patient"] = listing["patient"].map(pseudonyms)
    base = PurePosixPath(base_folder(root).absolute().as_posix())
    listing["path"] = [relative_reference(base, path) for path in listing["path"]]
    listing["mask"] = [
        MASKS.join(relative_reference(base, mask.strip()) for mask in masks.split(MASKS))
        for masks in listing["mask"]
    ]
    rows = zip(listing["path"], listing["label"], listing["mask"], strict=True)
    progress = tqdm(rows, total=len(listing), desc="acquire", unit="scan")
    listing["problem"] = [_problem(root, *row, dims=data.dims) for row in progress]
    if data.dims == 3:
        parts = parts_of_series(root, listing.loc[listing["problem"] == "", "path"])
        listing["problem"] = listing["path"].map(parts).fillna(listing["problem"])
    further = anonymous_columns(table.drop(columns=list(columns.values())), key)
    return pd.concat([_mark_repetitions(listing), further.add_prefix(FURTHER)], axis=1)


def _load(data: Data, root: Path) -> tuple[str, pd.DataFrame]:
    name = str(data.table)
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
        table = _read_parquet(path) if suffix in _PARQUET else _read_text(path, _SEPARATORS[suffix])
    # pandas' parser and decoding errors are ValueErrors
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
    return name, table


def _read_parquet(path: Path) -> pd.DataFrame:
    table = pd.read_parquet(path).convert_dtypes()  # whole numbers beside gaps stay whole: "3", not "3.0"
    return table.astype("str").where(table.notna(), "")


def _read_text(path: Path, separator: str) -> pd.DataFrame:
    with warnings.catch_warnings():
        # Rows longer than the header: pandas would cut them off with a warning.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        table = pd.read_csv(
            path,
            sep=separator,
            dtype="str",
            keep_default_na=False,
            index_col=False,
            encoding="utf-8-sig",
        )
    return table.fillna("")


def _place(table: str, row: int) -> str:
    return f"{table} row {row} (below the header)"


def _split(value: str, column: str, where: str) -> str:
    if not value:
        return ""
    if value.casefold() not in _SPLITS:
        raise SettingsError(
            f"{where}: {value!r} in column {column!r} is no split; known are: {', '.join(_SPLITS)}.",
            "Correct it, or set data.columns.split to null where the column means something else.",
        )
    return _SPLITS[value.casefold()]


def _dates(values: pd.Series, data: Data, column: str, table: str) -> list[str]:
    ranks = date_ranks(values)
    if ranks is not None:
        return ranks
    if data.columns.date == AUTO:  # a column that only happens to be called so
        return [""] * len(values)
    raise SettingsError(
        f"{table}: the values in column {column!r} are not all dates, or day and month can't be told apart.",
        "Write them as YYYY-MM-DD, or set data.columns.date to null.",
    )


def _problem(root: Path, path: str, label: str, masks: str, *, dims: int) -> str:
    if not label:
        return "no label"
    if problem := problem_of(root, path, dims=dims):
        return problem
    for mask in masks.split(MASKS) if masks else ():
        if problem := problem_of(root, mask, dims=dims):
            return f"mask: {problem}"
    return ""


def _mark_repetitions(listing: pd.DataFrame) -> pd.DataFrame:
    """Keep the first of several rows about one file, and none where they contradict each other."""
    contradicted = listing.groupby("path")["label"].transform("nunique") > 1
    repeated = listing.duplicated("path") & ~contradicted
    usable = listing["problem"] == ""
    listing.loc[usable & contradicted, "problem"] = "listed with different labels"
    listing.loc[usable & repeated, "problem"] = "listed more than once"
    return listing


# Acquisition dates as mere places in their order: the temporal split needs no more, and a date identifies.
#
# One way of writing is found for the whole column, so that 03/04 is not April in one row and March in
# another.
# Tried in order. The dotted one is DICOM's old way (ACR-NEMA), the compact ones are its own.
_FORMATS = ("%Y%m%d", "%Y%m%d%H%M%S", "%Y.%m.%d", "%Y/%m/%d", "%d.%m.%Y", "%Y")
_EITHER = ("%d/%m/%Y", "%m/%d/%Y"), ("%d-%m-%Y", "%m-%d-%Y")
_DIGITS = 6


def date_ranks(values: pd.Series) -> list[str] | None:
    """Replace dates by their dense rank, as six digits from 000000; an empty value stays empty.

    Args:
        values: Text: ISO 8601, DICOM (YYYYMMDD), or anything else pandas can read.

    Returns:
        None where some values are no dates, or where day and month can't be told apart.
    """
    known = values[values != ""]
    dates = _parsed(known) if len(known) else known
    if dates is None:
        return None
    ranks = dates.rank(method="dense").astype(int) - 1
    return [f"{ranks[row]:0{_DIGITS}d}" if row in ranks.index else "" for row in values.index]


def _parsed(known: pd.Series) -> pd.Series | None:
    for form in (*_FORMATS, "ISO8601"):
        if (dates := _by(known, form)) is not None:
            return dates
    for day_first, month_first in _EITHER:
        read = [dates for form in (day_first, month_first) if (dates := _by(known, form)) is not None]
        if read:
            # Both fit where no day is above 12; they agree only where that changes no order.
            return read[0] if len(read) == 1 or read[0].rank().equals(read[1].rank()) else None
    return _by(known, "mixed")


def _by(known: pd.Series, form: str) -> pd.Series | None:
    try:
        return pd.to_datetime(known, format=form, utc=True)
    except (ValueError, OverflowError):
        return None

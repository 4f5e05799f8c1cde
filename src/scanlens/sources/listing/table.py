"""A label table (CSV, TSV or Parquet) beside the scans it names."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath, PureWindowsPath

import pandas as pd
from tqdm import tqdm

from scanlens.config.schema import Data
from scanlens.errors import SettingsError
from scanlens.privacy.pseudonym import load_key, pseudonym
from scanlens.reference import parse_reference, relative_reference
from scanlens.sources.content import parts_of_series, problem_of
from scanlens.sources.listing.cells import cleaned
from scanlens.sources.listing.columns import (
    AUTO,
    FURTHER,
    MASKS,
    SPLIT_WORDS,
    Tell,
    empty_listing,
    find_columns,
)
from scanlens.sources.listing.labels import (
    one_spelling,
    plain_numbers,
    refuse_several_labels,
    refuse_unknown_label,
)
from scanlens.sources.listing.load import load_table
from scanlens.sources.listing.metadata import anonymous_columns
from scanlens.sources.listing.nearest import Nearest
from scanlens.sources.listing.patients import names_patients, refuse_unused, warn_of_spellings
from scanlens.sources.locate import NOT_FOUND, OUTSIDE, base_folder
from scanlens.tasks import task_of

_logger = logging.getLogger(__name__)

_WRITTEN_ONCE = ("label", "patient", "split")
"""What several rows about one file must agree on, as far as they say it."""
_UNKNOWN_PATIENTS = frozenset({"unknown", "unk", "anonymous", "anonymized", "anonymised"})
NEAREST = ": the nearest names are "
"""After the reason of a row whose file was not found, before names of files that are there."""


def list_table(data: Data, root: Path, tell: Tell = _logger.warning) -> pd.DataFrame:
    """List the rows of the label table; patients leave here as pseudonyms.

    A row that is wholly empty is passed over. One whose file is missing or outside the root, that has no
    label, or that names a file again stays in the listing with its ``problem``. Where no file has the name
    that a row gives, the one that fits but for backslashes, Unicode form, case or ending is taken.

    Args:
        data: The data set.
        root: The data root.
        tell: Told what was taken for what.

    Raises:
        SettingsError: The table is missing or damaged, lacks a column, or holds an unknown label or split,
            several labels in a cell, or a column that looks like patients and is not used.
    """
    name = str(data.table)
    raw = load_table(root, name)
    columns = find_columns(data.columns, list(raw.columns), name)
    table = raw.apply(cleaned)
    said = raw[columns["label"]].str.strip()
    # Beside a plus a minus is no dash.
    table[columns["label"]] = cleaned(
        said, keep=[*(data.labels or ()), *(["-"] if (said == "+").any() else [])]
    )
    filled = (table != "").any(axis=1)
    if not filled.any():
        raise SettingsError(f"The label table {name} has empty rows only.", "Give it one row per scan.")
    rows = pd.Index(table.index[filled] + 1, name="row")
    table = table[filled].reset_index(drop=True)
    nothing = said[filled].reset_index(drop=True).where(table[columns["label"]] == "", "")
    if data.columns.patient == AUTO:
        _find_patients(table, columns, name)
    listing = empty_listing(len(table))
    for role, column in columns.items():
        listing[role] = table[column]
    for role in _WRITTEN_ONCE:
        listing[role] = listing[role].str.normalize("NFC")
    if "date" in columns:
        listing["date"] = _dates(listing["date"], data, columns["date"], name)
    listing["label"] = _labels(listing["label"], rows, data, name, tell)
    if "split" in columns:
        splits = zip(listing["split"], rows, strict=True)
        listing["split"] = [_split(value, columns["split"], _place(name, row)) for value, row in splits]
    key = load_key()
    listing["patient"] = _pseudonyms(listing["patient"].set_axis(rows), key, name, tell)
    _locate_files(listing, rows, data, root, tell)
    if data.dims == 3:
        parts = parts_of_series(root, listing.loc[listing["problem"] == "", "path"])
        listing["problem"] = listing["path"].map(parts).fillna(listing["problem"])
    unlabelled = listing["label"] == ""
    words = nothing.map(lambda word: f": {word!r}" if word else "")
    listing.loc[unlabelled, "problem"] = "no label" + words[unlabelled]
    if (nothing != "").any():
        shown = ", ".join(
            f"{word!r} ({count})" for word, count in nothing[nothing != ""].value_counts().items()
        )
        tell(
            f"{name}: {int((nothing != '').sum())} rows have a word for nothing as their label and are "
            f"quarantined: {shown}. Where such a word is a class, name it in data.labels."
        )
    further = anonymous_columns(table.drop(columns=list(columns.values())), key)
    return pd.concat([_mark_repetitions(listing), further.add_prefix(FURTHER)], axis=1)


def _find_patients(table: pd.DataFrame, columns: dict[str, str], name: str) -> None:
    """Add the column of the patients where none has a usual name; refuse one that would be passed over."""
    others = [column for column in table.columns if column not in columns.values()]
    if "patient" not in columns and (found := [column for column in others if names_patients(column)]):
        columns["patient"] = found[0]
        others.remove(found[0])
    refuse_unused(table, columns.get("patient"), others, name)


def _labels(found: pd.Series, rows: pd.Index, data: Data, name: str, tell: Tell) -> pd.Series:
    """Labels written in one way; the table's rows are for messages."""
    if not task_of(data.task).has_classes:
        return plain_numbers(found)
    refuse_several_labels(found, data.labels, name, data.task)
    labels = one_spelling(found, data.labels, name, tell)
    for label, row in zip(labels, rows, strict=True):
        if label:
            refuse_unknown_label(label, data.labels, _place(name, row))
    return labels


def _pseudonyms(patients: pd.Series, key: bytes, name: str, tell: Tell) -> list[str]:
    known = patients.mask(patients.str.casefold().isin(_UNKNOWN_PATIENTS), "")
    warn_of_spellings(known, name, tell)
    return known.map({patient: pseudonym(patient, key) for patient in known.unique()}).tolist()


def _place(table: str, row: int) -> str:
    return f"{table} row {row} (below the header)"


def _split(value: str, column: str, where: str) -> str:
    if not value:
        return ""
    if value.casefold() not in SPLIT_WORDS:
        raise SettingsError(
            f"{where}: {value!r} in column {column!r} is no split; known are: {', '.join(SPLIT_WORDS)}.",
            "Correct it, or set data.columns.split to null where the column means something else.",
        )
    return SPLIT_WORDS[value.casefold()]


def _locate_files(listing: pd.DataFrame, rows: pd.Index, data: Data, root: Path, tell: Tell) -> None:
    """Fill in ``path`` and ``mask`` as the disk spells them, and ``problem``."""
    files = _Files(root, data.dims)
    paths, masks, problems, other = [], [], [], []
    given = zip(listing["path"], listing["mask"], rows, strict=True)
    for cell, several, row in tqdm(given, total=len(listing), desc="acquire", unit="scan"):
        found = [files.find(cell), *(files.find(mask.strip()) for mask in several.split(MASKS) if several)]
        paths.append(found[0].reference)
        masks.append(MASKS.join(one.reference for one in found[1:]))
        of_mask = next((f"mask: {one.problem}" for one in found[1:] if one.problem), "")
        problems.append(found[0].problem or of_mask)
        if any(one.respelt for one in found):
            other.append(row)
    listing["path"], listing["mask"], listing["problem"] = paths, masks, problems
    if other:
        tell(
            f"{len(other)} rows name a file otherwise than the disk does (backslashes, Unicode form, case or "
            f"ending), the first in row {other[0]}: for each the one file that fits is taken."
        )


@dataclass(frozen=True)
class _Found:
    reference: str
    problem: str
    respelt: bool = False


class _Files:
    """Finds what cells name."""

    def __init__(self, root: Path, dims: int) -> None:
        self._root, self._dims = root, dims
        self._base = PurePosixPath(base_folder(root).absolute().as_posix())
        self._nearest = Nearest(base_folder(root).resolve())

    def find(self, cell: str) -> _Found:
        reference = relative_reference(self._base, cell)
        problem = problem_of(self._root, reference, dims=self._dims)
        if problem != NOT_FOUND:
            return _Found(reference, problem)
        parts = parse_reference(reference)
        if PureWindowsPath(parts.path).is_absolute():
            return _Found(reference, OUTSIDE)
        path, names = self._nearest.find(parts.path)
        if path:
            reference = str(replace(parts, path=path))
            return _Found(reference, problem_of(self._root, reference, dims=self._dims), respelt=True)
        near = NEAREST + ", ".join(map(repr, names)) if names else ""
        return _Found(reference, problem + near)


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


def _mark_repetitions(listing: pd.DataFrame) -> pd.DataFrame:
    """Keep the first usable of several rows about one file, and none where they contradict each other."""
    for role in _WRITTEN_ONCE:
        said = listing[role].where(listing[role] != "")
        contradicted = said.groupby(listing["path"]).transform("nunique") > 1
        listing.loc[(listing["problem"] == "") & contradicted, "problem"] = f"listed with different {role}s"
    usable = listing[listing["problem"] == ""]
    listing.loc[usable.index[usable.duplicated("path")], "problem"] = "listed more than once"
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

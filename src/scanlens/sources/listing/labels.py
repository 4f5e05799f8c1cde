"""The labels of a data set: classes, their order, unknown and empty ones, or numbers; what task they make."""

from __future__ import annotations

import difflib

import pandas as pd

from scanlens.config.numbers import is_number
from scanlens.config.schema import Data, Task
from scanlens.errors import SettingsError

VALUE = "value"
"""Name of the number that is predicted where no column of the settings names it."""


def refuse_unknown_label(label: str, labels: list[str] | None, where: str) -> None:
    """Refuse a label that ``data.labels`` does not name.

    Args:
        label: The label found.
        labels: The choices, or None where every label is welcome.
        where: The table and row, or the folder, it stands in.

    Raises:
        SettingsError: Names the place, the value and the choices.
    """
    if labels is None or label in labels:
        return
    close = difflib.get_close_matches(label, labels, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    raise SettingsError(
        f"{where}: label {label!r} is not in data.labels{hint}; the choices are: {', '.join(labels)}.",
        "Correct the label, or add it to data.labels.",
    )


def ordered_labels(data: Data, listing: pd.DataFrame) -> list[str]:
    """Return the classes in order, each with at least one row that can be used.

    ``data.labels`` as given; without it the distinct labels sorted (as numbers where all are). For task
    ``regression`` one name: that of the number.

    Raises:
        SettingsError: A class is empty or none of its rows can be used, or there are fewer than two
            classes. Task ``ordinal``: the labels' order is not known. Task
            ``regression``: there are fewer than two different numbers.
    """
    if data.task == "regression":
        return [_value_name(data, listing)]
    found = [label for label in listing["label"].unique() if label]
    numeric = all(label.isdecimal() for label in found)
    if data.task == "ordinal" and data.labels is None and not all(is_number(label) for label in found):
        raise SettingsError(
            f"data.task is ordinal, but the order of the classes is not known: {', '.join(sorted(found))}.",
            "Name them from lowest to highest in data.labels.",
        )
    by_number = numeric or data.task == "ordinal"
    labels = data.labels or sorted(found, key=float if by_number else str)
    for label in labels:
        rows = listing[listing["label"] == label]
        broken = rows[rows["problem"] != ""]
        if len(rows) == 0:
            raise SettingsError(
                f"The class {label!r} is empty: no scan has it. Found: {', '.join(sorted(found))}.",
                "Add scans of this class, or take it out of data.labels.",
            )
        if len(rows) == len(broken):
            first = broken.iloc[0]
            raise SettingsError(
                f"The class {label!r} is empty: none of its {len(rows)} scans can be used "
                f"({first['path']}: {first['problem']}).",
                "Check data.root and the paths.",
            )
    if len(labels) < 2:
        raise SettingsError(
            f"At least two classes are needed; found {len(labels)}: {', '.join(labels) or 'none'}.",
            "Check data.root, data.columns.label and data.labels.",
        )
    return list(labels)


def resolve_task(data: Data, labels: list[str]) -> Task:
    """Return ``binary`` for two classes and ``multiclass`` for more, unless the settings say which.

    Raises:
        SettingsError: The settings say ``binary`` and there are more than two classes, or ``ordinal`` and
            there are fewer than three.
    """
    if data.task == "auto":
        return "binary" if len(labels) == 2 else "multiclass"
    if data.task == "binary" and len(labels) > 2:
        raise SettingsError(
            f"data.task is binary but there are {len(labels)} classes: {', '.join(labels)}.",
            "Set data.task=auto, or name two classes in data.labels.",
        )
    if data.task == "ordinal" and len(labels) < 3:
        raise SettingsError(
            f"data.task is ordinal but there are only two classes: {', '.join(labels)}.",
            "Two classes have no order to learn: set data.task=auto.",
        )
    return data.task


def check_numbers(data: Data, listing: pd.DataFrame) -> pd.DataFrame:
    """For task ``regression``: write every label in one way, and name those that are no number.

    Args:
        data: The settings.
        listing: Columns label and problem.

    Returns:
        The listing; a label that is no finite number has become its row's problem, so that the manifest
        quarantines the scan under its file's name. For other tasks the listing as it is.
    """
    if data.task != "regression":
        return listing
    numeric = listing["label"].map(is_number).astype(bool)
    problem = ("label: " + listing["label"].map(repr) + " is no finite number").where(
        ~numeric & (listing["problem"] == ""), listing["problem"]
    )
    label = listing["label"].where(
        ~numeric, listing["label"].map(lambda text: is_number(text) and repr(float(text)))
    )
    return listing.assign(label=label, problem=problem)


def _value_name(data: Data, listing: pd.DataFrame) -> str:
    usable = listing[listing["problem"] == ""]
    if usable["label"].nunique() < 2:
        wrong = listing[listing["problem"].str.startswith("label: ")]
        example = f"{wrong['path'].iloc[0]}: {wrong['problem'].iloc[0]}; " if len(wrong) else ""
        raise SettingsError(
            f"data.task is regression, but the usable scans have {usable['label'].nunique()} different "
            f"numbers as labels ({example}{len(listing) - len(usable)} of {len(listing)} rows are unusable).",
            "Check data.columns.label, data.root and the paths.",
        )
    column = data.columns.label
    return column if data.kind == "table" and column not in ("auto", "label") else VALUE

"""The classes of a data set: their order, unknown and empty ones, and what task they make."""

from __future__ import annotations

import difflib

import pandas as pd

from scanlens.config.schema import Data, Task
from scanlens.errors import SettingsError


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

    ``data.labels`` as given; without it the distinct labels sorted (as numbers where all are).

    Raises:
        SettingsError: A class is empty or none of its rows can be used, a label is given twice, or there
            are fewer than two classes.
    """
    found = [label for label in listing["label"].unique() if label]
    numeric = all(label.isdecimal() for label in found)
    labels = data.labels or sorted(found, key=int if numeric else str)
    if len(set(labels)) != len(labels):
        raise SettingsError(f"data.labels names a class twice: {', '.join(labels)}.", "Name each class once.")
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
        SettingsError: The settings say ``binary`` and there are more than two classes.
    """
    if data.task == "auto":
        return "binary" if len(labels) == 2 else "multiclass"
    if data.task == "binary" and len(labels) > 2:
        raise SettingsError(
            f"data.task is binary but there are {len(labels)} classes: {', '.join(labels)}.",
            "Set data.task=auto, or name two classes in data.labels.",
        )
    return data.task

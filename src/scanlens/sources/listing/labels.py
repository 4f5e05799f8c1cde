"""Labels as people and programs write them: several spellings of a class, several in a cell, unknown ones."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Mapping

import pandas as pd

from scanlens.config.numbers import is_number
from scanlens.errors import SettingsError
from scanlens.sources.listing.cells import number_of, spelling_key
from scanlens.sources.listing.columns import Tell
from scanlens.tasks import task_names

_SEPARATORS = ("|", ";", ",", "/", "+", "&", " ")
_WORDS = dict.fromkeys(("true", "yes", "ja", "oui", "wahr", "vrai"), True) | dict.fromkeys(
    ("false", "no", "nein", "non", "falsch", "faux"), False
)
_BOOLEANS = _WORDS | {"1": True, "y": True, "t": True, "0": False, "n": False, "f": False}
_SHOWN = 5
_THOUSANDS = 3
"""Digits behind a comma that may as well separate thousands."""


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


def one_spelling(found: pd.Series, labels: list[str] | None, where: str, tell: Tell) -> pd.Series:
    """Write each class in one way: as ``data.labels`` does, else in its most frequent spelling.

    Args:
        found: Labels, empty where there is none.
        labels: Names of the settings, or None. Two of them that differ in spelling only stay two classes.
        where: The table or folder, for messages.
        tell: Told which spellings were taken for one class.

    Raises:
        SettingsError: Numbers and words for yes and no are mixed.
    """
    counts: Counter[str] = Counter(found[found != ""].tolist())
    groups: dict[str, list[str]] = {}
    for spelling in counts:
        groups.setdefault(spelling_key(spelling), []).append(spelling)
    if labels is None:
        _refuse_mixed_booleans(groups, where)
    names: dict[str, str] = {}
    merged = []
    for key, spellings in groups.items():
        choices = [name for name in labels or () if spelling_key(name) == key]
        own = [spelling for spelling in spellings if spelling not in choices]
        if len(choices) > 1 or not own or len(spellings + choices) == 1:
            continue
        name = choices[0] if choices else _best(spellings, counts)
        names |= dict.fromkeys(own, name)
        written = [f"{one!r} ({counts[one]})" for one in sorted(spellings, key=lambda one: -counts[one])]
        merged.append(f"{', '.join(written)} as {name!r}")
    if merged:
        tell(
            f"{where}: labels that differ only in spelling are taken for one class: {'; '.join(merged)}. "
            "Where they are different classes, name each in data.labels."
        )
    return found.map(lambda label: names.get(label, label))


def _best(spellings: list[str], counts: Mapping[str, int]) -> str:
    """The shortest spelling of a number, the most frequent of a word."""
    if number_of(spellings[0]) is not None:
        return min(spellings, key=lambda one: (len(one), one))
    return min(spellings, key=lambda one: (-counts[one], one))


def _refuse_mixed_booleans(groups: Mapping[str, list[str]], where: str) -> None:
    if len(groups) < 3 or not set(groups) <= set(_BOOLEANS) or set(groups).isdisjoint(_WORDS):
        return
    sides = [
        " and ".join(repr(min(groups[key])) for key in groups if _BOOLEANS[key] is side)
        for side in (True, False)
    ]
    raise SettingsError(
        f"{where}: labels say yes and no in several ways, which would be {len(groups)} classes: "
        f"{'; '.join(side for side in sides if side)}.",
        "Write each in one way, or name all of them in data.labels where they are different classes.",
    )


def refuse_several_labels(found: pd.Series, labels: list[str] | None, where: str, task: str) -> None:
    """Refuse cells of several labels, which would each be a class of its own.

    Parts between ``|`` or ``;`` are labels. What else separates may be part of a name: parts are labels only
    where all of a cell's are cells of their own or, between commas, occur in other cells as well.

    Args:
        found: Labels, empty where there is none.
        labels: Names of the settings; a cell that they name is one label.
        where: The table, for the message.
        task: ``data.task``.

    Raises:
        SettingsError: Some cells hold several labels.
    """
    counts: Counter[str] = Counter(found[found != ""].tolist())
    for separator in _SEPARATORS:
        parts = {cell: {part.strip(" []'\"") for part in cell.split(separator)} - {""} for cell in counts}
        cells_of: Counter[str] = Counter(part for several in parts.values() for part in several)
        several = [
            cell
            for cell, inside in parts.items()
            if len(inside) > 1
            and cell not in (labels or ())
            and (
                separator in _SEPARATORS[:2]
                or inside <= counts.keys()
                or (separator == "," and all(cells_of[part] > 1 for part in inside))
            )
        ]
        if not several:
            continue
        shown = ", ".join(map(repr, several[:_SHOWN])) + (", …" if len(several) > _SHOWN else "")
        raise SettingsError(
            f"{where}: {sum(counts[cell] for cell in several)} rows hold several labels between "
            f"{separator!r} ({shown}); with data.task={task} each such cell would be a class of its own.",
            _several_remedy(),
        )


def _several_remedy() -> str:
    names = "name the cells in data.labels where each is one class."
    if "multilabel" in task_names():
        return f"Set data.task=multilabel, or {names}"
    return (
        "Several labels a scan are wanted as data.task=multilabel, which this scanlens does not have: name a "
        f"column of one label a scan (such as 0 and 1 for one finding) in data.columns.label, or {names}"
    )


def plain_numbers(found: pd.Series) -> pd.Series:
    """Write labels that are numbers in one way, with a decimal point; others stay as they are.

    A comma is a decimal comma unless every one may separate thousands (``1,234``).
    """
    with_comma = found[found.str.fullmatch(r"[+-]?\d*,\d+")]
    commas = not with_comma.empty and not (
        with_comma.str.fullmatch(rf"[+-]?[1-9]\d{{0,2}},\d{{{_THOUSANDS}}}").all()
    )
    points = (
        found.where(~found.index.isin(with_comma.index), found.str.replace(",", ".")) if commas else found
    )
    return points.map(lambda text: repr(float(text)) if is_number(text) else text)

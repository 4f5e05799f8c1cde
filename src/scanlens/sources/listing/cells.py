"""What programs write into a table's cells: words for nothing, numbers, and one word in several spellings."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from decimal import Decimal

import pandas as pd

_NOTHING = frozenset(
    {
        "nan", "-nan", "na", "n/a", "n.a.", "n.a", "#n/a", "#na", "#n/a n/a", "#nv", "<na>", "nat", "null",
        "<null>", "none", "<none>", "nil", "undefined", "-", "--", "---", "\u2013", "\u2014", "?", ".",
        "#null!", "#ref!", "#value!", "#name?", "#div/0!", "#num!", "#wert!", "#bezug!", "1.#ind", "1.#qnan",
        "-1.#ind", "-1.#qnan", "(empty)", "(blank)", "(null)", "(none)", "[]", "{}", '""', "''",
    }
)  # fmt: skip
"""Spellings of nothing, in lower case: of pandas, R, SAS, databases and spreadsheets."""
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)(e[+-]?\d{1,3})?", re.ASCII | re.IGNORECASE)
_PADDING = re.compile(r"(?<![\d.,])0+(?=\d)", re.ASCII)
_GAPS = re.compile(r"(?<=\w)[\s_-]+(?=\w)")


def says_nothing(text: str) -> bool:
    """Whether a cell is empty, blank, or holds a program's word for nothing (``nan``, ``#N/A``, ``null``)."""
    return not (bare := _visible(text).casefold()) or bare in _NOTHING


def cleaned(cells: pd.Series, *, keep: Collection[str] = ()) -> pd.Series:
    """Return cells without surrounding blanks, empty where they say nothing.

    Args:
        cells: Text.
        keep: What means something although it reads as nothing.
    """
    made = {cell: "" if says_nothing(cell) and cell.strip() not in keep else cell for cell in cells.unique()}
    return cells.map({cell: text.strip() for cell, text in made.items()})


def number_of(text: str) -> Decimal | None:
    """Read a number written with a decimal point or comma, without thousands; None where it is none."""
    if not _NUMBER.fullmatch(text):
        return None
    return Decimal(text.replace(",", "."))


def spelling_key(text: str) -> str:
    """Return what two spellings of one thing have in common.

    Numbers are equal by value (``1``, ``1.0`` and ``01``), other texts whatever their case, Unicode form,
    blanks, hyphens and underscores, and the zeros before the numbers in them.
    """
    bare = _visible(unicodedata.normalize("NFKC", text)).casefold()
    number = number_of(bare)
    if number is not None:
        return f"{number.normalize():f}" if number else "0"
    return _PADDING.sub("", _GAPS.sub(" ", bare))


def _visible(text: str) -> str:
    """A text without what cannot be seen: marks of direction, zero-width blanks, blanks around it."""
    return "".join(letter for letter in text if unicodedata.category(letter) != "Cf").strip()

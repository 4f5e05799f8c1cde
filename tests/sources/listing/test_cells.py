"""Words for nothing, and what two spellings of one thing have in common."""

from __future__ import annotations

import pandas as pd
import pytest

from scanlens.sources.listing.cells import cleaned, says_nothing, spelling_key


@pytest.mark.parametrize(
    "text",
    ["", "  ", "\u00a0", "nan", "NaN", "NA", "n/a", "#N/A", "#NV", "<NA>", "NULL", "None", "-", "\u200b"],
)
def test_nothing(text: str) -> None:
    assert says_nothing(text)


@pytest.mark.parametrize("text", ["0", "no", "normal", "unknown", "Nana", "-1", "x"])
def test_something(text: str) -> None:
    assert not says_nothing(text)


def test_a_word_that_is_wanted_is_kept() -> None:
    cells = pd.Series([" none", "NA", "mild "])
    assert cleaned(cells).tolist() == ["", "", "mild"]
    assert cleaned(cells, keep=["none"]).tolist() == ["none", "", "mild"]


@pytest.mark.parametrize(
    ("one", "same"),
    [
        ("1", ["1.0", "01", "1,0", "+1", "1.", " 1 ", "1e0"]),
        ("0", ["0.0", "00", "-0"]),
        ("0.5", ["0,5", ".5", "0.50"]),
        ("Normal", ["normal", "NORMAL", "normal\u200b"]),
        ("No Finding", ["no_finding", "no-finding", "No  finding"]),
        ("grade 1", ["Grade_01"]),
        ("été", ["e\u0301te\u0301"]),
    ],
)
def test_spellings_of_one(one: str, same: list[str]) -> None:
    assert {spelling_key(text) for text in same} == {spelling_key(one)}


@pytest.mark.parametrize(
    ("one", "other"),
    [("1", "10"), ("1", "-1"), ("0.05", "0.5"), ("1-2", "12"), ("T+", "T-"), ("1.0", "1.01")],
)
def test_different_things(one: str, other: str) -> None:
    assert spelling_key(one) != spelling_key(other)

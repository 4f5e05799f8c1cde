"""Values are hidden, and what a shortcut needs of them is kept: equality and order."""

from __future__ import annotations

import numpy as np
import pandas as pd

from scanlens.sources.listing.metadata import anonymous_columns

KEY = b"k" * 64
TABLE = pd.DataFrame(
    {
        "name": ["Doe", "Roe", " Doe ", ""],
        "age": ["61", "7", "", "61.0"],
        "again": ["Doe", "Roe", "Doe", ""],
        "mixed": ["1", "x", "1", "1"],
        "constant": ["a", "a", "a", "a"],
    },
    dtype="str",
)


def test_text_is_hashed_and_numbers_are_ranked() -> None:
    hidden = anonymous_columns(TABLE, KEY)
    assert list(hidden.columns) == ["name", "age", "again", "mixed"]
    first, second, third, fourth = hidden["name"]
    assert first == third != second
    assert fourth == ""
    assert len(first) == 12
    np.testing.assert_array_equal(hidden["age"], [2, 1, np.nan, 2])
    assert hidden["mixed"].nunique() == 2
    assert hidden["again"][0] != first  # a value can't be followed from column to column


def test_the_key_decides() -> None:
    assert not anonymous_columns(TABLE, KEY)["name"].equals(anonymous_columns(TABLE, b"x" * 64)["name"])

"""One class in several spellings is one class, and said; several labels in a cell are never a class."""

from __future__ import annotations

import pandas as pd
import pytest

from scanlens.errors import SettingsError
from scanlens.sources.listing.labels import one_spelling, plain_numbers, refuse_several_labels


@pytest.mark.parametrize(
    ("found", "labels", "expected"),
    [
        (["1", "1.0", "0", "0.0", "01"], None, ["1", "1", "0", "0", "1"]),
        (["1.0", "1.0", "1"], None, ["1", "1", "1"]),
        (["Normal", "normal", "normal", "", "sick"], None, ["normal", "normal", "normal", "", "sick"]),
        (
            ["TRUE", "True", "False", "FALSE", "True", "False"],
            None,
            ["True", "True", "False", "False", "True", "False"],
        ),
        (["normal", "SICK"], ["Normal", "Sick"], ["Normal", "Sick"]),
        (["0.0", "1.0"], ["0", "1"], ["0", "1"]),
    ],
)
def test_spellings_become_one(found: list[str], labels: list[str] | None, expected: list[str]) -> None:
    told: list[str] = []
    assert one_spelling(pd.Series(found), labels, "t.csv", told.append).tolist() == expected
    assert len(told) == 1


def test_what_was_merged_is_listed_and_what_the_settings_part_stays_apart() -> None:
    told: list[str] = []
    one_spelling(pd.Series(["a", "A", "a"]), None, "t.csv", told.append)
    assert "'a' (2), 'A' (1) as 'a'" in told[0]
    found = pd.Series(["a", "A", "yes", "no", "0.5"])
    assert one_spelling(found, ["a", "A", "yes", "no", "0.5"], "t.csv", told.append).equals(found)
    assert len(told) == 1


def test_several_ways_of_yes_and_no_are_refused_with_the_pairs() -> None:
    with pytest.raises(SettingsError, match=r"4 classes: 'True' and '1'; 'False' and '0'"):
        one_spelling(pd.Series(["True", "1", "False", "0"]), None, "t.csv", print)
    with pytest.raises(SettingsError, match=r"3 classes: 'Yes' and 'Y'; 'no'"):
        one_spelling(pd.Series(["Yes", "Y", "no"]), None, "t.csv", print)
    for found in (["0", "1", "2"], ["n", "t", "f"], ["True", "0"]):
        assert one_spelling(pd.Series(found), None, "t.csv", print).tolist() == found


@pytest.mark.parametrize(
    "found",
    [
        ["Effusion", "Mass|Nodule"],
        ["Effusion", "Mass;Effusion"],
        ["Effusion", "Mass, Effusion", "Mass"],
        ["A,B", "B,C", "A,C"],
        ["['A', 'B']", "['A']", "['B']"],
        ["scab", "rust", "scab rust"],
        ["A", "B", "A + B"],
    ],
)
def test_several_labels_in_a_cell_are_told(found: list[str]) -> None:
    with pytest.raises(SettingsError, match=r"t\.csv: \d rows hold several labels.*multilabel.*data\.labels"):
        refuse_several_labels(pd.Series(found), None, "t.csv", "auto")
    refuse_several_labels(pd.Series(found), found, "t.csv", "auto")


def test_what_is_part_of_a_name_is_no_separator() -> None:
    names = pd.Series(
        ["Pneumonia, bacterial", "Pneumonia, viral", "normal", "left lung", "right lung", "left eye"]
    )
    refuse_several_labels(names, None, "t.csv", "auto")


def test_numbers_are_written_in_one_way() -> None:
    assert plain_numbers(pd.Series(["0,5", "1", "2,25", "tall", ""])).tolist() == [
        "0.5",
        "1.0",
        "2.25",
        "tall",
        "",
    ]
    # Decimal comma or thousands? Left as they are, to be quarantined by name.
    assert plain_numbers(pd.Series(["1,234", "999"])).tolist() == ["1,234", "999.0"]

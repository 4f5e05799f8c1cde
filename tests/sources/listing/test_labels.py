"""The order of the classes and the task they make."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest

from scanlens.config.schema import Data
from scanlens.errors import SettingsError
from scanlens.sources.listing.labels import (
    check_numbers,
    ordered_labels,
    resolve_task,
)


@pytest.mark.parametrize(
    ("found", "labels", "expected", "task"),
    [
        (["b", "a", "b"], None, ["a", "b"], "binary"),
        (["b", "a", "c"], ["c", "a", "b"], ["c", "a", "b"], "multiclass"),
        (["10", "9", "1"], None, ["1", "9", "10"], "multiclass"),
    ],
)
def test_order_and_task(
    settings: Callable[..., Data], found: list[str], labels: list[str] | None, expected: list[str], task: str
) -> None:
    listing = pd.DataFrame({"path": found, "label": found, "problem": ""})
    data = settings("table", labels=labels)
    assert ordered_labels(data, listing) == expected
    assert resolve_task(data, expected) == task
    assert resolve_task(settings("table", task="multiclass"), expected) == "multiclass"


def _numbers(labels: list[str]) -> pd.DataFrame:
    return pd.DataFrame({"path": [f"{n}.png" for n in range(len(labels))], "label": labels, "problem": ""})


def test_labels_that_are_no_number_become_their_rows_problem(settings: Callable[..., Data]) -> None:
    data = settings("table", labels=None, task="regression")
    checked = check_numbers(data, _numbers(["3", "3.50", "nan", "tall"]))
    assert checked["label"].tolist() == ["3.0", "3.5", "nan", "tall"]
    assert [bool(problem) for problem in checked["problem"]] == [False, False, True, True]
    assert "'tall' is no finite number" in checked["problem"].iloc[3]
    assert ordered_labels(data, checked) == ["value"]
    assert resolve_task(data, ["value"]) == "regression"


def test_numbers_need_two_values(settings: Callable[..., Data]) -> None:
    data = settings("table", labels=None, task="regression")
    with pytest.raises(SettingsError, match="different numbers"):
        ordered_labels(data, check_numbers(data, _numbers(["3", "3.0", "x"])))


def test_ordered_classes_are_sorted_by_number_or_named(settings: Callable[..., Data]) -> None:
    data = settings("table", labels=None, task="ordinal")
    assert ordered_labels(data, _numbers(["10", "-1", "2.5"])) == ["-1", "2.5", "10"]
    with pytest.raises(SettingsError, match="order of the classes is not known"):
        ordered_labels(data, _numbers(["mild", "severe", "none"]))
    with pytest.raises(SettingsError, match="only two classes"):
        resolve_task(data, ["a", "b"])

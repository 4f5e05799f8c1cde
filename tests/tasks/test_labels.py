"""The order of the classes and the task they make."""

from __future__ import annotations

import pandas as pd
import pytest

from scanlens.errors import SettingsError
from scanlens.tasks import task_of
from tests.helpers.settings import data_settings


@pytest.mark.parametrize(
    ("found", "labels", "expected", "task"),
    [
        (["b", "a", "b"], None, ["a", "b"], "binary"),
        (["b", "a", "c"], ["c", "a", "b"], ["c", "a", "b"], "multiclass"),
        (["10", "9", "1"], None, ["1", "9", "10"], "multiclass"),
    ],
)
def test_order_and_task(found: list[str], labels: list[str] | None, expected: list[str], task: str) -> None:
    listing = pd.DataFrame({"path": found, "label": found, "problem": ""})
    auto = task_of("auto")
    assert auto.label_names(data_settings("table", labels=labels), listing) == expected
    assert auto.resolved(expected).name == task
    assert task_of("multiclass").resolved(expected).name == "multiclass"


def _numbers(labels: list[str]) -> pd.DataFrame:
    return pd.DataFrame({"path": [f"{n}.png" for n in range(len(labels))], "label": labels, "problem": ""})


def test_labels_that_are_no_number_become_their_rows_problem() -> None:
    task, data = task_of("regression"), data_settings("table")
    checked = task.clean(_numbers(["3", "3.50", "nan", "tall"]))
    assert checked["label"].tolist() == ["3.0", "3.5", "nan", "tall"]
    assert [bool(problem) for problem in checked["problem"]] == [False, False, True, True]
    assert "'tall' is no finite number" in checked["problem"].iloc[3]
    assert task.label_names(data, checked) == ["value"]
    assert task.resolved(["value"]) is task


def test_numbers_need_two_values_and_no_classes() -> None:
    task, data = task_of("regression"), data_settings("table")
    with pytest.raises(SettingsError, match="different numbers"):
        task.label_names(data, task.clean(_numbers(["3", "3.0", "x"])))


def test_ordered_classes_are_sorted_by_number_or_named() -> None:
    task, data = task_of("ordinal"), data_settings("table")
    assert task.label_names(data, _numbers(["10", "-1", "2.5"])) == ["-1", "2.5", "10"]
    with pytest.raises(SettingsError, match="order of the classes is not known"):
        task.label_names(data, _numbers(["mild", "severe", "none"]))
    with pytest.raises(SettingsError, match="only two classes"):
        task.resolved(["a", "b"])

"""The order of the classes and the task they make."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest

from scanlens.config.schema import Data
from scanlens.sources.labels import ordered_labels, resolve_task


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

"""Which test scans are shown first."""

from __future__ import annotations

from typing import Any

import pytest

from scanlens.errors import SettingsError
from scanlens.explanation.ranking import most_uncertain_first, pictured_rows, predictions_of_test


def test_the_most_uncertain_scans_are_pictured(case: Any) -> None:
    rows = case.store.rows("test")
    table = predictions_of_test(case.predictions, case.store, rows)
    assert table["scan_id"].tolist() == case.store.index["scan_id"].iloc[rows].tolist()
    order = most_uncertain_first(table)["uncertainty"]
    assert order.is_monotonic_decreasing
    chosen = pictured_rows(case.predictions, case.store, 3)
    ids = case.store.index["scan_id"].iloc[chosen].tolist()
    assert ids == table.sort_values("uncertainty", ascending=False)["scan_id"].head(3).tolist()
    assert len(pictured_rows(case.predictions, case.store, 10**6)) == len(rows)


def test_scans_that_are_as_uncertain_come_by_their_id(case: Any) -> None:
    table = predictions_of_test(case.predictions, case.store, case.store.rows("test")).assign(uncertainty=0.5)
    assert most_uncertain_first(table)["scan_id"].is_monotonic_increasing


def test_other_predictions_are_refused(case: Any) -> None:
    rows = case.store.rows("test")
    with pytest.raises(SettingsError, match="lack 1 of"):
        predictions_of_test(case.predictions.drop(index=case.predictions.index[-1]), case.store, rows)
    with pytest.raises(SettingsError, match="test split is empty"):
        predictions_of_test(case.predictions, case.store, rows[:0])

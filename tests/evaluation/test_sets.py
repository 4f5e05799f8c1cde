"""Prediction sets as columns."""

from __future__ import annotations

import numpy as np
import pandas as pd

from scanlens.evaluation.sets import set_of, with_sets

LABELS = ["normal", "nodule", "opacity"]
HELD = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 1], [0, 0, 1], [0, 1, 0], [1, 1, 1]], dtype=bool)


def test_columns_say_what_is_held_and_whether_a_person_decides() -> None:
    table = with_sets(pd.DataFrame({"scan_id": list("uvwxyz")}, index=[5, 4, 3, 2, 1, 0]), HELD, LABELS)
    assert list(table) == ["scan_id", "in_set_normal", "in_set_nodule", "in_set_opacity", "abstained"]
    assert table["in_set_nodule"].tolist() == [False, True, True, False, True, True]
    assert table["abstained"].tolist() == [False, True, True, False, False, True]
    rows = table.to_dict("records")
    assert set_of(rows[1], LABELS) == ["normal", "nodule"]
    assert set_of({"scan_id": "u"}, LABELS) is None

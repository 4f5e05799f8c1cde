from __future__ import annotations

import pytest

from scanlens.errors import SettingsError
from scanlens.map_scores.settings import check_map_scores
from tests.helpers.settings import map_scores


@pytest.mark.parametrize(
    ("name", "value"),
    [("scans", 0), ("curve_scans", -1), ("steps", 2), ("changes", -1), ("levels", 0), ("confidence", 1.0)],
)
def test_impossible_numbers_are_refused(name: str, value: float) -> None:
    with pytest.raises(SettingsError, match=rf"explanation\.scores\.{name}"):
        check_map_scores(map_scores(**{name: value}))

"""Dates become places in their order, by one reading of the whole column."""

from __future__ import annotations

import pandas as pd
import pytest

from scanlens.sources.listing.dates import date_ranks


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["2021-03-01", "2019-07-30", "", "2021-03-01"], ["000001", "000000", "", "000001"]),
        (["20210301", "20190730"], ["000001", "000000"]),
        (["2021-03-01T12:30:00", "2021-03-01", "2021-03-02T00:00:00Z"], ["000001", "000000", "000002"]),
        (["2021.03.01", "2019.12.30"], ["000001", "000000"]),
        (["01.03.2021", "30.12.2019"], ["000001", "000000"]),
        (["2021", "2019"], ["000001", "000000"]),
        # Day first, as one value shows: 2 April 2020 is after 25 March.
        (["02/04/2020", "25/03/2020"], ["000001", "000000"]),
        # Month first: 4 February 2020 is before 25 March.
        (["02/04/2020", "03/25/2020"], ["000000", "000001"]),
        # Both readings give the same order.
        (["01/01/2020", "02/02/2020"], ["000000", "000001"]),
        (["3 March 2021", "Jan 5, 2019"], ["000001", "000000"]),
        (["", ""], ["", ""]),
    ],
)
def test_places(values: list[str], expected: list[str]) -> None:
    assert date_ranks(pd.Series(values, dtype="str")) == expected


@pytest.mark.parametrize("values", [["2021-03-01", "soon"], ["02/04/2020", "03/03/2020"], ["99999999"]])
def test_no_dates_or_not_to_be_told(values: list[str]) -> None:
    assert date_ranks(pd.Series(values, dtype="str")) is None


def test_any_index() -> None:
    assert date_ranks(pd.Series(["2021", "", "2020"], index=[7, 3, 9], dtype="str")) == [
        "000001",
        "",
        "000000",
    ]

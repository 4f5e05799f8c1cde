from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from scanlens.config.numbers import MOST_BINS, as_numbers, is_number, quantile_bins


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("3", True),
        ("-1.5e3", True),
        ("nan", False),
        ("inf", False),
        ("3,5", False),
        ("", False),
        ("a", False),
    ],
)
def test_only_finite_numbers_are_numbers(label: str, expected: bool) -> None:
    assert is_number(label) is expected


def test_bins_hold_like_shares_and_are_ordered() -> None:
    numbers = np.random.default_rng(0).normal(size=500)
    labels = pd.Series([repr(float(value)) for value in numbers])
    bins = quantile_bins(labels)
    assert bins.value_counts().tolist() == [100] * MOST_BINS
    ends = as_numbers(labels).reshape(-1)
    by_bin = pd.Series(ends).groupby(bins).agg(["min", "max"]).sort_values("min")
    assert (by_bin["max"].to_numpy()[:-1] < by_bin["min"].to_numpy()[1:]).all()


def test_few_scans_make_few_bins_and_equal_labels_share_one() -> None:
    assert quantile_bins(pd.Series(["1", "2", "3"])).nunique() == 1
    assert (
        quantile_bins(pd.Series(["1"] * 90 + ["2"] * 10)).groupby(["1"] * 90 + ["2"] * 10).nunique().max()
        == 1
    )

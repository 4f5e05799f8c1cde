"""The newest patients are the test split."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from scanlens.errors import SettingsError
from scanlens.manifest.splits.assign import assign_splits
from tests.helpers.deals import scans_of, splits_per
from tests.helpers.tiny import split


def dated(seed: int, patients: int = 100, days: int = 4000) -> pd.DataFrame:
    scans = scans_of(patients, seed)
    generator = np.random.default_rng(seed)
    return scans.assign(date=[f"d{day:05}" for day in generator.integers(0, days, len(scans))])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("days", [10, 4000])
def test_patients_are_dealt_in_the_order_of_their_last_scan(seed: int, days: int) -> None:
    scans = dated(seed, days=days)
    splits = assign_splits(scans, split(method="temporal"))["split"]
    assert splits_per(scans, splits, "patient") == 1
    last = scans["date"].groupby(scans["patient"]).transform("max")
    assert last[splits == "train"].max() < last[splits == "val"].min()
    assert last[splits == "val"].max() < last[splits == "test"].min()
    # What training saw is older than the last scan of every patient tested.
    assert scans["date"][splits == "train"].max() < last[splits == "test"].min()


def test_sizes_are_near_the_fractions_where_dates_are_fine() -> None:
    scans = dated(0, patients=300, days=90000)
    fractions = {"train": 0.5, "val": 0.2, "test": 0.3}
    splits = assign_splits(scans, split(method="temporal", fractions=fractions))["split"]
    for name, fraction in fractions.items():
        assert (splits == name).mean() == pytest.approx(fraction, abs=0.01)


def test_scans_without_a_date_are_refused_with_their_number() -> None:
    scans = dated(0)
    scans.loc[[1, 5, 9], "date"] = ""
    with pytest.raises(SettingsError, match=rf"3 of {len(scans)} scans have no date.*data\.columns\.date"):
        assign_splits(scans, split(method="temporal"))


def test_three_dates_fill_three_splits_however_uneven() -> None:
    scans = scans_of(60, 0, most=1)
    scans["date"] = ["2003"] * 2 + ["2002"] * 10 + ["2001"] * 48
    splits = assign_splits(scans, split(method="temporal"))["split"]
    assert splits.groupby(scans["date"]).unique().explode().to_dict() == {
        "2001": "train", "2002": "val", "2003": "test",
    }  # fmt: skip


def test_two_dates_are_refused_and_not_named() -> None:
    scans = dated(0)
    scans["date"] = np.where(scans["patient"] < "p5", "19990101", "20010101")
    with pytest.raises(SettingsError, match="of 2 different dates") as refusal:
        assign_splits(scans, split(method="temporal"))
    assert "19990101" not in str(refusal.value)
    scans.loc[scans["patient"] == "p5", "date"] = "20000101"
    assert set(assign_splits(scans, split(method="temporal"))["split"]) == {"train", "val", "test"}

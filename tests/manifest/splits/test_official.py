"""Splits the data set declares."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from scanlens.errors import SettingsError
from scanlens.manifest.splits.assign import assign_splits, check_split_settings
from tests.helpers.deals import scans_of, splits_per
from tests.helpers.tiny import split


def declared(scans: pd.DataFrame, train: int, val: int) -> pd.DataFrame:
    """Declare the first patients train, the next val, the rest test."""
    number = pd.factorize(scans["patient"])[0]
    names = np.where(number < train, "train", np.where(number < train + val, "val", "test"))
    return scans.assign(split=names)


@pytest.mark.parametrize("method", ["grouped", "official"])
def test_a_declared_split_is_taken(method: str) -> None:
    scans = declared(scans_of(40, 0), 25, 8)
    dealt = assign_splits(scans, split(method=method))
    assert dealt["split"].tolist() == scans["split"].tolist()
    assert set(dealt["fold"]) == {-1}


def test_a_missing_val_is_carved_from_train_by_patient() -> None:
    scans = declared(scans_of(80, 0), 60, 0)
    fractions = {"train": 0.7, "val": 0.15, "test": 0.15}
    splits = assign_splits(scans, split(method="official", fractions=fractions))["split"]
    assert (splits[scans["split"] == "test"] == "test").all()
    rest = splits[scans["split"] == "train"]
    assert set(rest) == {"train", "val"}
    assert (rest == "val").mean() == pytest.approx(0.15 / 0.85, abs=0.02)
    assert splits_per(scans, splits, "patient") == 1


def test_a_declared_split_needs_train_and_test() -> None:
    scans = declared(scans_of(20, 0), 15, 0)
    for missing in ("train", "test"):
        with pytest.raises(SettingsError, match=f"no {missing} scans"):
            check_split_settings(split(), scans[scans["split"] != missing])


def test_a_patient_in_two_declared_splits_is_left_to_the_gate() -> None:
    scans = declared(scans_of(20, 0), 15, 2)
    scans.loc[len(scans) - 1, "patient"] = "p0"
    check_split_settings(split(), scans)
    dealt = assign_splits(scans, split())
    assert dealt["split"].tolist() == scans["split"].tolist()


def test_an_undeclared_row_beside_declared_ones_is_refused() -> None:
    scans = declared(scans_of(20, 0), 15, 2)
    scans.loc[3, "split"] = ""
    with pytest.raises(SettingsError, match="scan-3: declared split '' is none of"):
        check_split_settings(split(), scans)
    scans.loc[3, "problem"] = "file not found"
    check_split_settings(split(), scans)

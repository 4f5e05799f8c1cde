"""A patient's split depends on the patient alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from scanlens.manifest.splits.assign import assign_splits
from scanlens.manifest.splits.hashed import hash_numbers
from tests.helpers.deals import scans_of, splits_per
from tests.helpers.tiny import split


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("folds", [None, 4])
def test_scans_and_patients_added_later_move_no_earlier_scan(seed: int, folds: int | None) -> None:
    scans = scans_of(150, seed)
    generator = np.random.default_rng(seed)
    early = scans[generator.random(len(scans)) < 0.6]
    settings = split(method="hashed", seed=seed, folds=folds)
    before = assign_splits(early, settings)
    assert assign_splits(scans, settings).loc[early.index].equals(before)


def test_the_shares_are_the_fractions_and_the_numbers_even() -> None:
    scans = scans_of(6000, 0, most=1)
    fractions = {"train": 0.5, "val": 0.2, "test": 0.3}
    splits = assign_splits(scans, split(method="hashed", fractions=fractions))["split"]
    for name, fraction in fractions.items():
        assert (splits == name).mean() == pytest.approx(fraction, abs=0.02)
    numbers = hash_numbers(scans, 0)
    assert np.abs(np.histogram(numbers, 10, (0, 1))[0] / 600 - 1).max() < 0.15


def test_unknown_patients_are_dealt_by_content() -> None:
    scans = scans_of(60, 0, most=1)
    scans.loc[1, "sha256"] = scans.loc[0, "sha256"]
    names = "s" + scans["sha256"].str[:16]
    names[1] += "-1"
    for patient in (names, pd.Series("", index=scans.index)):
        splits = assign_splits(scans.assign(patient=patient), split(method="hashed"))["split"]
        assert splits_per(scans, splits, "sha256") == 1
    assert np.array_equal(
        hash_numbers(scans.assign(patient=names), 3), hash_numbers(scans.assign(patient=""), 3)
    )

"""Sizes and class ratios of what is dealt, and what happens where there is little to deal."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest

from scanlens.errors import SettingsError
from scanlens.manifest.splits.assign import assign_splits
from scanlens.manifest.splits.deal import MAX_FOLDS
from tests.helpers.deals import planted, ratio_gap, scans_of, splits_per, table_of
from tests.helpers.tiny import split

FRACTIONS = {"train": 0.7, "val": 0.15, "test": 0.15}
HALVES = {"train": 0.5, "val": 0.25, "test": 0.25}
ROUNDING = 1e-9


@pytest.mark.parametrize("seed", range(40))
def test_where_the_groups_allow_it_class_ratios_are_within_two_percent(seed: int) -> None:
    fractions = FRACTIONS if seed % 2 else HALVES
    scans = planted(fractions, seed)
    splits = assign_splits(scans, split(fractions=fractions, seed=seed))["split"]
    assert splits_per(scans, splits, "patient") == 1
    for name, fraction in fractions.items():
        assert ratio_gap(scans["label"], splits == name) <= 0.02 + ROUNDING
        assert (splits == name).mean() == pytest.approx(fraction, abs=0.02 + ROUNDING)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("patients", [MAX_FOLDS - 10, MAX_FOLDS + 10, 300])
def test_large_and_uneven_patients_are_dealt_within_two_percent(patients: int, seed: int) -> None:
    scans = scans_of(patients, seed, most=12)
    splits = assign_splits(scans, split(fractions=FRACTIONS, seed=seed))["split"]
    for name, fraction in FRACTIONS.items():
        assert ratio_gap(scans["label"], splits == name) <= 0.02 + ROUNDING
        assert (splits == name).mean() == pytest.approx(fraction, abs=0.02 + ROUNDING)


def test_other_fractions_change_the_sizes() -> None:
    scans = scans_of(200, 0)
    splits = assign_splits(scans, split(fractions={"train": 0.5, "val": 0.2, "test": 0.3}))["split"]
    assert (splits == "train").mean() == pytest.approx(0.5, abs=0.02)
    assert (splits == "test").mean() == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize("seed", range(3))
def test_a_rare_class_is_in_every_split_when_three_patients_have_it(seed: int) -> None:
    scans = scans_of(200, seed, "ab", most=1)
    scans.loc[[10, 90, 170], "label"] = "rare"
    splits = assign_splits(scans, split(fractions=FRACTIONS, seed=seed))["split"]
    assert set(splits[scans["label"] == "rare"]) == {"train", "val", "test"}


@pytest.mark.parametrize("seed", range(5))
def test_nineteen_patients_with_thirty_scans(seed: int) -> None:
    generator = np.random.default_rng(seed)
    patients = np.concatenate([np.arange(19), generator.integers(0, 19, 11)]).astype(str)
    scans = table_of(list(zip(patients, ["plain", "contrast"] * 15, strict=True)))
    splits = assign_splits(scans, split(fractions=FRACTIONS, seed=seed))["split"]
    assert splits_per(scans, splits, "patient") == 1
    for name in FRACTIONS:
        assert set(scans["label"][splits == name]) == {"plain", "contrast"}


def test_three_patients_fill_three_splits_and_training_sees_every_class() -> None:
    scans = table_of(list(zip("xyzz", "abab", strict=True)))
    splits = assign_splits(scans, split(fractions=FRACTIONS))["split"]
    assert splits.tolist()[2:] == ["train", "train"]
    assert set(splits[:2]) == {"val", "test"}


def test_two_patients_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"2 patients cannot fill 3 splits or folds .* Add patients"):
        assign_splits(scans_of(2, 0, "a"), split())


def test_a_class_that_training_would_not_see_is_refused() -> None:
    scans = table_of(list(zip("xyz", "abc", strict=True)))
    with pytest.raises(SettingsError, match=r"no scan of class . is in the training split"):
        assign_splits(scans, split())


def test_many_small_classes_are_dealt() -> None:
    scans = table_of([(f"p{number}", f"class-{number % 30}") for number in range(120)])
    splits = assign_splits(scans, split(fractions=FRACTIONS))["split"]
    assert (splits == "train").mean() == pytest.approx(0.7, abs=0.03)


def test_one_class_alone_is_dealt() -> None:
    splits = assign_splits(scans_of(30, 0, "a"), split())["split"]
    assert isinstance(splits, pd.Series)
    assert (splits == "train").mean() == pytest.approx(0.6, abs=0.05)


@pytest.mark.parametrize("seed", range(5))
def test_few_groups_are_dealt_as_well_as_by_the_best_of_all_deals(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = [
        (f"p{p}", c) for p in range(8) for c in "a" * int(rng.integers(1, 5)) + "b" * int(rng.integers(4))
    ]
    scans, wanted = table_of(rows), list(HALVES.values())
    patients = scans["patient"].str[1:].astype(int).to_numpy()

    def gap(parts: np.ndarray) -> float:
        sizes = np.bincount(parts, minlength=3)
        if not sizes.all():
            return np.inf
        ratios = np.bincount(parts, scans["label"] == "a", minlength=3) / sizes
        lacks = (ratios == 0).any() or (ratios == 1).any()
        by_ratio = np.abs(ratios - (scans["label"] == "a").mean()).max()
        return max(np.abs(sizes / len(scans) - wanted).max(), by_ratio) + lacks

    splits = assign_splits(scans, split(fractions=HALVES, seed=seed))["split"]
    found = gap(splits.map(list(HALVES).index).to_numpy())
    best = min(gap(np.array(parts)[patients]) for parts in product(range(3), repeat=8))
    assert found <= max(best, 0.02) + 0.01

"""Nested cross-validation: every scan is tested once, and no run sees its own test patients."""

from __future__ import annotations

import pytest

from scanlens.errors import SettingsError
from scanlens.manifest.splits.assign import assign_splits, check_split_settings
from tests.helpers.deals import planted, ratio_gap, scans_of, splits_per
from tests.helpers.tiny import split


@pytest.mark.parametrize("method", ["grouped", "random", "hashed"])
def test_all_runs_together_test_every_scan_once(method: str) -> None:
    scans = scans_of(80, 0)
    runs = [assign_splits(scans, split(method=method, folds=5, fold=fold)) for fold in range(5)]
    assert all(run["fold"].equals(runs[0]["fold"]) for run in runs)
    assert (sum((run["split"] == "test").astype(int) for run in runs) == 1).all()
    assert (sum((run["split"] == "val").astype(int) for run in runs) == 1).all()
    for fold, run in enumerate(runs):
        assert set(run["fold"][run["split"] == "test"]) == {fold}
        assert set(run["fold"][run["split"] == "val"]) == {(fold + 1) % 5}
    assert (splits_per(scans, runs[0]["fold"], "patient") == 1) == (method != "random")


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("folds", [3, 5])
def test_folds_are_alike_where_the_groups_allow_it(folds: int, seed: int) -> None:
    scans = planted({f"part {number}": 1 / 5 for number in range(5)} if folds == 5 else
                    {f"part {number}": 1 / 3 for number in range(3)}, seed)  # fmt: skip
    numbers = assign_splits(scans, split(folds=folds, seed=seed))["fold"]
    for number in range(folds):
        assert ratio_gap(scans["label"], numbers == number) <= 0.03
        assert (numbers == number).mean() == pytest.approx(1 / folds, abs=0.02)


def test_the_declared_test_split_stays_and_the_rest_rotates() -> None:
    scans = scans_of(60, 0)
    number = scans["patient"].str[1:].astype(int)
    scans["split"] = number.map(lambda patient: "test" if patient < 15 else "train")
    runs = [assign_splits(scans, split(folds=3, fold=fold)) for fold in range(3)]
    rest = scans["split"] != "test"
    for fold, run in enumerate(runs):
        assert ((run["split"] == "test") == ~rest).all()
        assert ((run["fold"] == -1) == ~rest).all()
        assert set(run["fold"][run["split"] == "val"]) == {fold}
    assert (sum((run["split"] == "val").astype(int) for run in runs)[rest] == 1).all()


def test_more_folds_than_patients_of_a_class_are_refused_early() -> None:
    scans = scans_of(60, 0, most=1)
    scans["label"] = list("abc") * 20
    scans.loc[2, "label"] = "a"
    with pytest.raises(SettingsError, match="class c has 19 patients, too few for 20 folds"):
        check_split_settings(split(folds=20), scans)


def test_patients_unknown_at_first_count_one_by_one() -> None:
    check_split_settings(split(folds=5), scans_of(30, 0).assign(patient=""))


def test_a_class_of_few_patients_is_refused_after_quarantine_too() -> None:
    scans = scans_of(60, 0, "ab")
    scans.loc[:3, "label"] = "rare"
    with pytest.raises(SettingsError, match=r"class rare has \d patients, too few for 5 folds"):
        assign_splits(scans, split(folds=5))

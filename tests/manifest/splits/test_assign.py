"""Laws that hold for every method of the split."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from scanlens.errors import SettingsError
from scanlens.manifest.splits.assign import (
    assign_splits,
    check_split_settings,
    effective_method,
    hash_numbers,
)
from tests.helpers.deals import scans_of, splits_per
from tests.helpers.tiny import split

METHODS: list[dict[str, Any]] = [
    {"method": "grouped"},
    {"method": "random"},
    {"method": "official"},
    {"method": "site", "site": "north"},
    {"method": "temporal"},
    {"method": "hashed"},
    {"method": "grouped", "folds": 4, "fold": 1},
    {"method": "official", "folds": 3, "fold": 2},
    {"method": "hashed", "folds": 4, "fold": 3},
]
NAMES = [" ".join(str(value) for value in settings.values()) for settings in METHODS]
BY_PATIENT = [settings for settings in METHODS if settings["method"] != "random"]


def full_table(seed: int = 0, patients: int = 60) -> pd.DataFrame:
    """Draw scans with everything that any method asks for; declared splits, sites and dates go by patient."""
    scans = scans_of(patients, seed)
    number = pd.factorize(scans["patient"])[0]
    return scans.assign(
        split=np.select([number % 5 == 0, number % 5 == 1], ["test", "val"], "train"),
        site=np.array(["north", "south", "west"])[number % 3],
        date=[f"2020{1 + place % 12:02}{1 + place % 28:02}" for place in number * 7],
    )


@pytest.mark.parametrize("settings", METHODS, ids=NAMES)
def test_rows_in_another_order_get_the_same_split(settings: dict[str, Any]) -> None:
    scans = full_table()
    dealt = assign_splits(scans, split(**settings))
    assert list(dealt.columns) == ["split", "fold"]
    assert dealt.index.equals(scans.index)
    assert dealt["fold"].dtype == np.int64
    shuffled = scans.sample(frac=1, random_state=3)
    assert assign_splits(shuffled, split(**settings)).sort_index().equals(dealt)


@pytest.mark.parametrize("settings", METHODS, ids=NAMES)
def test_pseudonyms_and_paths_change_nothing_but_hashes(settings: dict[str, Any]) -> None:
    scans = full_table()
    renamed = scans.assign(
        patient=[f"q{name[::-1]}" for name in scans["patient"]], path=[name[::-1] for name in scans["path"]]
    )
    same = assign_splits(renamed, split(**settings)).equals(assign_splits(scans, split(**settings)))
    assert same == (settings["method"] != "hashed")


@pytest.mark.parametrize("settings", METHODS, ids=NAMES)
def test_every_split_is_filled_and_training_sees_every_class(settings: dict[str, Any]) -> None:
    scans = full_table()
    dealt = assign_splits(scans, split(**settings))
    assert set(dealt["split"]) - {""} == {"train", "val", "test"}
    assert set(scans["label"][dealt["split"] == "train"]) == set("abc")
    assert (dealt["fold"] >= 0).any() == ("folds" in settings)


@pytest.mark.parametrize("settings", BY_PATIENT, ids=NAMES[:1] + NAMES[2:])
@pytest.mark.parametrize("seed", range(3))
def test_no_patient_is_in_two_splits_or_folds(settings: dict[str, Any], seed: int) -> None:
    scans = full_table(seed)
    dealt = assign_splits(scans, split(**settings, seed=seed))
    assert splits_per(scans, dealt["split"], "patient") == 1
    assert splits_per(scans, dealt["fold"], "patient") == 1


@pytest.mark.parametrize("method", ["grouped", "temporal"])
def test_copies_and_linked_scans_stay_together(method: str) -> None:
    scans = full_table().assign(split="")
    last = len(scans) - 1
    plain = assign_splits(scans, split(method=method))["split"]
    far = int(np.flatnonzero(plain != plain.iloc[0])[0])
    for column in ("sha256", "pixel_sha256"):
        twins = scans.copy()
        twins.loc[[0, far], column] = "same"
        joined = assign_splits(twins, split(method=method))["split"]
        assert joined[0] == joined[far]
    # Links are places, not index labels.
    moved = scans.set_index(np.arange(len(scans))[::-1] + 1000)
    linked = assign_splits(moved, split(method=method), [(0, far), (far, last)])["split"]
    assert linked.iloc[0] == linked.iloc[far] == linked.iloc[last]


@pytest.mark.parametrize("method", ["grouped", "random", "hashed"])
def test_another_seed_gives_another_split(method: str) -> None:
    scans = scans_of(60, 1)
    first = assign_splits(scans, split(method=method, seed=3))
    assert first.equals(assign_splits(scans, split(method=method, seed=3)))
    assert not first.equals(assign_splits(scans, split(method=method, seed=4)))


def test_random_ignores_patients_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    scans = full_table()
    dealt = assign_splits(scans, split(method="random"))
    assert splits_per(scans, dealt["split"], "patient") > 1
    assert dealt["split"].tolist() != scans["split"].tolist()
    assert "ignores patients" in caplog.text


def test_a_declared_split_replaces_the_grouped_one_only() -> None:
    scans = full_table()
    assert effective_method(split(), scans) == "official"
    assert effective_method(split(), scans.assign(split="")) == "grouped"
    assert effective_method(split(method="temporal"), scans) == "temporal"


def test_a_class_that_training_would_not_see_is_refused() -> None:
    scans = full_table().assign(label="a")
    scans.loc[scans["split"] == "test", "label"] = "new"
    with pytest.raises(SettingsError, match="no scan of class new is in the training split"):
        assign_splits(scans, split(method="official"))


def test_an_empty_split_is_refused() -> None:
    scans = scans_of(3, 0)
    with pytest.raises(SettingsError, match=r"no scan is in the (train|val|test) split"):
        assign_splits(scans, split(method="hashed", fractions={"train": 0.98, "val": 0.01, "test": 0.01}))


@pytest.mark.parametrize("settings", METHODS, ids=NAMES)
def test_what_can_be_dealt_passes_the_early_check(settings: dict[str, Any]) -> None:
    check_split_settings(split(**settings), full_table())


def test_rows_with_a_problem_are_not_held_against_the_settings() -> None:
    scans = full_table()
    for settings, change in (
        ({"method": "site"}, {"site": ""}),
        ({"method": "official"}, {"split": "holdout"}),
        ({"method": "random", "folds": 5}, {"label": "rare"}),
    ):
        bad = pd.concat([scans, scans.head(1).assign(**change, patient="")], ignore_index=True)
        with pytest.raises(SettingsError):
            check_split_settings(split(**settings), bad)
        bad.loc[len(scans), "problem"] = "file not found"
        check_split_settings(split(**settings), bad)


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

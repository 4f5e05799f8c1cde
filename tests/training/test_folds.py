"""Folds keep patients whole, classes in like shares, and the test split out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from scanlens.errors import SettingsError
from scanlens.training.folds import NO_TRAINING_FOLD, descends_from, training_folds


def scans(patients: int = 60) -> pd.DataFrame:
    """One to three scans a patient, three classes, splits by patient."""
    rng = np.random.default_rng(0)
    rows = [
        (f"p{patient}", "abc"[patient % 3], "train" if patient % 5 else "test" if patient % 2 else "val")
        for patient in range(patients)
        for _ in range(rng.integers(1, 4))
    ]
    return pd.DataFrame(rows, columns=["patient", "label", "split"])


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_every_scan_outside_the_test_split_is_in_one_fold(folds: int) -> None:
    index = scans()
    numbers = training_folds(index, folds, 0)
    assert ((numbers == NO_TRAINING_FOLD) == (index["split"] == "test")).all()
    assert set(numbers[numbers >= 0]) == set(range(folds))
    dealt = index.assign(fold=numbers)[numbers >= 0]
    assert dealt.groupby("patient")["fold"].nunique().max() == 1
    shares = pd.crosstab(dealt["fold"], dealt["label"], normalize="index")
    overall = dealt["label"].value_counts(normalize=True)
    assert ((shares - overall).abs().to_numpy() < 0.15).all()


def test_the_seed_decides_the_deal() -> None:
    index = scans()
    assert (training_folds(index, 5, 3) == training_folds(index, 5, 3)).all()
    assert (training_folds(index, 5, 3) != training_folds(index, 5, 4)).any()


def test_scans_of_unknown_patients_are_dealt_one_by_one() -> None:
    index = scans().assign(patient="")
    numbers = training_folds(index, 3, 0)
    sizes = np.bincount(numbers[numbers >= 0])
    assert sizes.max() - sizes.min() <= 3


def test_copies_under_other_names_are_in_one_fold() -> None:
    """The manifest's group holds two patients together whose scans are near copies."""
    index = scans()
    index["group"] = "g" + index["patient"].str.removeprefix("p").astype(int).floordiv(6).astype(str)
    index.loc[0, "group"] = ""
    numbers = training_folds(index, 3, 0)
    dealt = index.assign(fold=numbers)[(numbers >= 0) & (index["group"] != "")]
    assert dealt.groupby("group")["fold"].nunique().max() == 1
    apart = training_folds(index.drop(columns="group"), 3, 0)
    assert index.assign(fold=apart)[apart >= 0].groupby("group")["fold"].nunique().max() > 1


def test_a_class_with_fewer_patients_than_folds_is_refused() -> None:
    index = pd.DataFrame({"patient": list("uvwx"), "label": list("aaab"), "split": "train"})
    with pytest.raises(SettingsError, match="class b has 1 patients"):
        training_folds(index, 2, 0)


def test_copies_follow_their_parents() -> None:
    made = pd.DataFrame({"parents": ["x", ["x", "y"], "train:hash", "y"]})
    assert descends_from(made, {"x"}).tolist() == [0]
    assert descends_from(made, {"x", "y"}).tolist() == [0, 1, 3]

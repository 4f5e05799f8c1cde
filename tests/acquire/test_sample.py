"""A sample keeps the classes' shares and, where it can, whole patients."""

from __future__ import annotations

import pandas as pd
import pytest

from scanlens.acquire.sample import sample_scans
from scanlens.errors import SettingsError
from scanlens.sources.listing.columns import empty_listing
from scanlens.tasks import task_of

CLASSES = task_of("multiclass")


@pytest.fixture
def listing() -> pd.DataFrame:
    """90 scans of class a and 30 of b, three of each patient, and one row that cannot be used."""
    listing = empty_listing(121)
    listing["path"] = [f"{row:03}" for row in range(121)]
    listing["label"] = ["a"] * 90 + ["b"] * 31
    listing["patient"] = [f"p{row // 3}" for row in range(121)]
    listing.loc[120, "problem"] = "file not found"
    return listing


def test_share_of_each_class_and_whole_patients(listing: pd.DataFrame) -> None:
    sample = sample_scans(listing, 24, seed=1, task=CLASSES)
    assert sample["label"].value_counts().to_dict() == {"a": 18, "b": 6}
    assert (sample.groupby("patient").size() == 3).all()
    assert list(sample["path"]) == sorted(sample["path"])


def test_never_more_and_never_an_empty_class(listing: pd.DataFrame) -> None:
    for limit in (2, 3, 7, 25, 119):
        sample = sample_scans(listing, limit, seed=0, task=CLASSES)
        assert len(sample) == limit
        assert sample["label"].nunique() == 2
        assert (sample["problem"] == "").all()


def test_seed(listing: pd.DataFrame) -> None:
    assert sample_scans(listing, 24, 1, task=CLASSES).equals(sample_scans(listing, 24, 1, task=CLASSES))
    assert not sample_scans(listing, 24, 1, task=CLASSES).equals(sample_scans(listing, 24, 2, task=CLASSES))


def test_declared_splits_keep_their_share(listing: pd.DataFrame) -> None:
    listing["split"] = ["train"] * 60 + ["test"] * 30 + ["train"] * 20 + ["test"] * 11
    sample = sample_scans(listing.assign(patient=""), 12, seed=0, task=CLASSES)
    counts = sample.groupby(["label", "split"]).size().to_dict()
    assert counts == {("a", "train"): 6, ("a", "test"): 3, ("b", "train"): 2, ("b", "test"): 1}


def test_all_where_the_limit_is_large(listing: pd.DataFrame) -> None:
    assert len(sample_scans(listing, 1000, seed=0, task=CLASSES)) == 120


def test_a_limit_below_the_classes_is_refused(listing: pd.DataFrame) -> None:
    with pytest.raises(SettingsError, match=r"acquire\.limit is 1, but there are 2"):
        sample_scans(listing, 1, seed=0, task=CLASSES)

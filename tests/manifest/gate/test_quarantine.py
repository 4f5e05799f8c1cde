"""Who goes where two scans cannot both stay."""

from __future__ import annotations

import pandas as pd

from scanlens.manifest.gate.quarantine import copies_across_splits, near_contradictions
from scanlens.manifest.near_copies.find import Pair
from tests.helpers.tiny import leakage


def table(rows: list[tuple[str, str, str, str]]) -> pd.DataFrame:
    """Rows of patient, label, split, content."""
    manifest = pd.DataFrame(rows, columns=["patient", "label", "split", "pixel_sha256"])
    return manifest.assign(path=[f"{n}.png" for n in range(len(rows))], status="ok", sha256="")


def test_near_copies_of_two_patients_under_two_labels_both_go() -> None:
    manifest = table([("p1", "a", "", "x"), ("p2", "b", "", "y"), ("p3", "a", "", "z")])
    reasons = near_contradictions(manifest, [Pair(0, 1, 0.99), Pair(0, 2, 0.99)])
    assert reasons == {
        0: "contradiction: near copy of 1.png, labelled b",
        1: "contradiction: near copy of 0.png, labelled a",
    }


def test_one_patient_may_look_alike_with_and_without_a_finding() -> None:
    manifest = table([("p1", "a", "", "x"), ("p1", "b", "", "y")])
    assert near_contradictions(manifest, [Pair(0, 1, 0.99)]) == {}


def test_of_copies_the_one_in_the_test_split_stays() -> None:
    splits = ["train", "test", "val", "train", "train"]
    manifest = table([(f"p{n}", "a", split, "xxxyz"[n]) for n, split in enumerate(splits)])
    reasons = copies_across_splits(manifest, [], leakage(copies="quarantine"))
    assert reasons == {
        0: "copy: the same pixels as 1.png in test",
        2: "copy: the same pixels as 1.png in test",
    }


def test_of_near_copies_too() -> None:
    manifest = table([("p0", "a", "val", "x"), ("p1", "a", "train", "y"), ("p2", "a", "train", "z")])
    pairs = [Pair(0, 1, 0.99), Pair(1, 2, 0.99)]
    assert copies_across_splits(manifest, pairs, leakage(near_copies="quarantine")) == {
        1: "near copy: of 0.png in val"
    }


def test_nothing_goes_unless_it_is_asked_for() -> None:
    manifest = table([("p0", "a", "train", "x"), ("p1", "a", "test", "x")])
    assert copies_across_splits(manifest, [Pair(0, 1, 1.0)], leakage()) == {}


def test_equal_pixels_are_left_to_the_setting_for_copies() -> None:
    manifest = table([("p0", "a", "train", "x"), ("p1", "a", "test", "x")])
    assert copies_across_splits(manifest, [Pair(0, 1, 1.0)], leakage(near_copies="quarantine")) == {}


def test_a_scan_that_goes_takes_no_other_along() -> None:
    splits = ["train", "val", "test"]
    manifest = table([(f"p{n}", "a", split, str(n)) for n, split in enumerate(splits)])
    pairs = [Pair(0, 1, 0.99), Pair(1, 2, 0.99)]
    assert copies_across_splits(manifest, pairs, leakage(near_copies="quarantine")) == {
        1: "near copy: of 2.png in test"
    }

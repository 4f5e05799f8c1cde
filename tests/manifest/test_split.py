"""Laws of the split."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from scanlens.config.schema import SplitConfig
from scanlens.errors import SettingsError
from scanlens.manifest.split import (
    MAX_FOLDS,
    assign_splits,
    check_split_settings,
    effective_method,
    patient_groups,
)
from tests.helpers.tiny import split as split_section

FRACTIONS = {"train": 0.7, "val": 0.15, "test": 0.15}


def config(method: Any = "grouped", fractions: dict[str, float] = FRACTIONS, seed: int = 0) -> SplitConfig:
    return split_section(method=method, fractions=dict(fractions), seed=seed)


def scans_of(patients: int, seed: int, classes: str = "abc", most: int = 4) -> pd.DataFrame:
    """Draw patients with 1 to ``most`` scans, mostly of one class, every class present."""
    generator = np.random.default_rng(seed)
    rows = []
    for patient in range(patients):
        favourite = classes[patient % len(classes)]
        for _ in range(generator.integers(1, most + 1)):
            label = favourite if generator.random() < 0.8 else str(generator.choice(list(classes)))
            rows.append({"patient": f"p{patient}", "label": label})
    table = pd.DataFrame(rows)
    number = np.arange(len(table)).astype(str)
    return table.assign(path="scan-" + number, sha256="c" + number, split="", problem="")


def splits_per(scans: pd.DataFrame, splits: pd.Series, column: str) -> int:
    return int(splits.groupby(scans[column]).nunique().max())


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("patients", [12, 30, 120])
def test_no_patient_and_no_content_is_in_two_splits(patients: int, seed: int) -> None:
    scans = scans_of(patients, seed)
    scans.loc[[1, len(scans) - 1], "sha256"] = "twin"
    splits = assign_splits(scans, config(seed=seed))
    assert splits_per(scans, splits, "patient") == 1
    assert splits_per(scans, splits, "sha256") == 1
    assert set(splits) == {"train", "val", "test"}


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(("patients", "tolerance"), [(60, 0.04), (300, 0.015)])
def test_sizes_and_class_shares_are_near_the_fractions(patients: int, tolerance: float, seed: int) -> None:
    scans = scans_of(patients, seed)
    splits = assign_splits(scans, config(seed=seed))
    for split, fraction in FRACTIONS.items():
        assert (splits == split).mean() == pytest.approx(fraction, abs=tolerance)
        for label in "abc":
            share = (splits[scans["label"] == label] == split).mean()
            assert share == pytest.approx(fraction, abs=2 * tolerance)


def test_other_fractions_change_the_sizes() -> None:
    scans = scans_of(200, 0)
    splits = assign_splits(scans, config(fractions={"train": 0.5, "val": 0.2, "test": 0.3}))
    assert (splits == "train").mean() == pytest.approx(0.5, abs=0.02)
    assert (splits == "test").mean() == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize("patients", [20, MAX_FOLDS + 30])
def test_a_seed_fixes_the_split_and_another_one_changes_it(patients: int) -> None:
    scans = scans_of(patients, 1)
    first = assign_splits(scans, config(seed=3))
    assert first.equals(assign_splits(scans, config(seed=3)))
    assert not first.equals(assign_splits(scans, config(seed=4)))


@pytest.mark.parametrize("patients", [20, MAX_FOLDS + 30])
def test_the_split_does_not_depend_on_the_pseudonyms(patients: int) -> None:
    scans = scans_of(patients, 2)
    renamed = scans.assign(patient=[name[::-1] for name in scans["patient"]])
    assert renamed["patient"].rank().tolist() != scans["patient"].rank().tolist()
    assert assign_splits(scans, config()).equals(assign_splits(renamed, config()))


@pytest.mark.parametrize("seed", range(2))
def test_a_rare_class_is_in_every_split_when_three_patients_have_it(seed: int) -> None:
    scans = scans_of(200, seed, "ab", most=1)
    scans.loc[[10, 90, 170], "label"] = "rare"
    splits = assign_splits(scans, config(seed=seed))
    assert set(splits[scans["label"] == "rare"]) == {"train", "val", "test"}


@pytest.mark.parametrize("seed", range(5))
def test_nineteen_patients_with_thirty_scans(seed: int) -> None:
    generator = np.random.default_rng(seed)
    patients = np.concatenate([np.arange(19), generator.integers(0, 19, 11)])
    scans = pd.DataFrame({"patient": patients.astype(str), "label": ["plain", "contrast"] * 15})
    number = np.arange(30).astype(str)
    scans = scans.assign(path=number, sha256=number, split="")
    splits = assign_splits(scans, config(seed=seed))
    assert splits_per(scans, splits, "patient") == 1
    for split in FRACTIONS:
        assert set(scans["label"][splits == split]) == {"plain", "contrast"}


def test_three_patients_fill_three_splits_and_training_sees_every_class() -> None:
    scans = pd.DataFrame({"patient": list("xyzz"), "label": list("abab")})
    scans = scans.assign(path=list("1234"), sha256=list("1234"), split="")
    splits = assign_splits(scans, config())
    assert splits.tolist()[2:] == ["train", "train"]
    assert set(splits[:2]) == {"val", "test"}


def test_two_patients_are_refused() -> None:
    scans = scans_of(2, 0, "a")
    with pytest.raises(SettingsError, match=r"2 patients cannot fill .* Add patients"):
        assign_splits(scans, config())


def test_a_class_that_training_would_not_see_is_refused() -> None:
    scans = pd.DataFrame({"patient": list("xyz"), "label": list("abc")})
    scans = scans.assign(path=list("123"), sha256=list("123"), split="")
    with pytest.raises(SettingsError, match=r"no scan of class . is in the training split"):
        assign_splits(scans, config())


def test_many_small_classes_are_dealt() -> None:
    labels = [f"class-{number}" for number in range(30) for _ in range(4)]
    number = np.arange(len(labels)).astype(str)
    scans = pd.DataFrame({"label": labels, "patient": number, "sha256": number, "path": number, "split": ""})
    splits = assign_splits(scans, config())
    assert (splits == "train").mean() == pytest.approx(0.7, abs=0.01)


def test_groups_join_patients_and_contents_in_chains() -> None:
    scans = pd.DataFrame({"patient": list("abcad"), "sha256": list("12234")})
    assert patient_groups(scans).tolist() == [0, 1, 1, 0, 2]
    chain = pd.DataFrame({"patient": list("abbcd"), "sha256": list("11223")})
    assert patient_groups(chain).tolist() == [0, 0, 0, 0, 1]


def test_random_ignores_patients_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    scans = scans_of(60, 0)
    splits = assign_splits(scans, config("random"))
    assert splits_per(scans, splits, "patient") > 1
    assert "ignores patients" in caplog.text


def declared(scans: pd.DataFrame, train: int, val: int) -> pd.DataFrame:
    """Declare the first patients train, the next val, the rest test."""
    number = pd.factorize(scans["patient"])[0]
    split = np.where(number < train, "train", np.where(number < train + val, "val", "test"))
    return scans.assign(split=split)


@pytest.mark.parametrize("method", ["grouped", "official"])
def test_a_declared_split_is_taken(method: str) -> None:
    scans = declared(scans_of(40, 0), 25, 8)
    assert assign_splits(scans, config(method)).tolist() == scans["split"].tolist()
    assert effective_method(config(method), scans) == "official"


def test_random_ignores_a_declared_split() -> None:
    scans = declared(scans_of(40, 0), 25, 8)
    assert assign_splits(scans, config("random")).tolist() != scans["split"].tolist()


def test_a_missing_val_is_carved_from_train_by_patient() -> None:
    scans = declared(scans_of(80, 0), 60, 0)
    splits = assign_splits(scans, config("official"))
    assert (splits[scans["split"] == "test"] == "test").all()
    rest = splits[scans["split"] == "train"]
    assert set(rest) == {"train", "val"}
    assert (rest == "val").mean() == pytest.approx(0.15 / 0.85, abs=0.02)
    assert splits_per(scans, splits, "patient") == 1


def test_a_declared_split_needs_train_and_test() -> None:
    scans = declared(scans_of(20, 0), 15, 0)
    for missing in ("train", "test"):
        with pytest.raises(SettingsError, match=f"no {missing} scans"):
            check_split_settings(config(), scans[scans["split"] != missing])


def test_a_patient_in_two_declared_splits_is_refused() -> None:
    scans = declared(scans_of(20, 0), 15, 2)
    scans.loc[len(scans) - 1, "patient"] = "p0"
    with pytest.raises(SettingsError, match=r"scan-0 \(train\) and scan-\d+ \(test\) are of one patient"):
        check_split_settings(config(), scans)
    check_split_settings(config("random"), scans)


def test_an_undeclared_row_beside_declared_ones_is_refused() -> None:
    scans = declared(scans_of(20, 0), 15, 2)
    scans.loc[3, "split"] = ""
    with pytest.raises(SettingsError, match="scan-3: declared split '' is none of"):
        check_split_settings(config(), scans)
    scans.loc[3, "problem"] = "file not found"
    check_split_settings(config(), scans)


@pytest.mark.parametrize(
    "fractions",
    [
        {"train": 0.7, "val": 0.2, "test": 0.2},
        {"train": 1.0, "val": 0.0, "test": 0.0},
        {"train": 0.8, "test": 0.2},
        {"train": 0.6, "val": 0.2, "test": 0.1, "holdout": 0.1},
    ],
)
def test_wrong_fractions_are_refused(fractions: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match=r"manifest\.split\.fractions"):
        check_split_settings(config(fractions=fractions), scans_of(20, 0))

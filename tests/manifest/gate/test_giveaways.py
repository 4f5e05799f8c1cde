from __future__ import annotations

import cv2
import numpy as np
import pandas as pd
import pydicom
import pytest

from scanlens.manifest.gate import giveaways as shortcuts
from scanlens.manifest.gate.giveaways import Shortcut, find_shortcuts

MINIMUM = 0.95


def people(count: int, scans: int = 1) -> pd.Series:
    return pd.Series([f"p{row // scans}" for row in range(count)])


def alternating(count: int, labels: str = "ab") -> pd.Series:
    return pd.Series([labels[row % len(labels)] for row in range(count)])


def only(values, labels, patients=None, minimum: float = MINIMUM) -> list[Shortcut]:
    patients = people(len(labels)) if patients is None else patients
    return find_shortcuts(pd.DataFrame({"column": list(values)}), labels, patients, minimum)


@pytest.mark.parametrize(
    "value",
    [
        lambda label, row: {"a": "north", "b": "south"}[label],
        lambda label, row: {"a": "1", "b": "2"}[label],
        lambda label, row: "yes" if label == "a" else "",
        lambda label, row: None if label == "a" else 3.0,
        lambda label, row: f"agent {row}" if label == "a" else "",
        lambda label, row: row + (1000 if label == "a" else 0),
        lambda label, row: 500 + row if label == "a" else row if row % 4 == 1 else 2000 + row,
        lambda label, row: str(512 + row) if label == "a" else "",
        lambda label, row: label == "a",
    ],
    ids=["site", "code", "tag present", "number absent", "unlike texts present", "size", "middle sizes",
         "sizes as text, some absent", "truth value"],
)  # fmt: skip
def test_a_column_that_gives_the_label_away_is_found(value):
    labels = alternating(200)
    values = [value(label, row) for row, label in enumerate(labels)]
    found = only(values, labels)
    assert [(shortcut.column, shortcut.label, shortcut.scans) for shortcut in found] == [("column", "", 200)]
    assert found[0].accuracy >= MINIMUM


@pytest.mark.parametrize(
    "value",
    [
        lambda row, rng: rng.random(),
        lambda row, rng: rng.integers(0, 5),
        lambda row, rng: f"uid {row}",
        lambda row, rng: row // 2,
        lambda row, rng: "",
        lambda row, rng: "same",
        lambda row, rng: np.nan if rng.random() < 0.5 else rng.random(),
        lambda row, rng: np.inf if row % 3 else 1e300,
    ],
    ids=["numbers", "codes", "identifiers", "pairs", "empty", "constant", "half absent", "infinite"],
)
def test_a_column_that_tells_nothing_is_not_found(value):
    rng = np.random.default_rng(3)
    values = [value(row, rng) for row in range(400)]
    assert only(values, alternating(400), minimum=0.7) == []


def test_an_identifier_of_patients_predicts_nothing_for_new_patients():
    patients = people(300, scans=3)
    labels = pd.Series(["ab"[row // 3 % 2] for row in range(300)])
    assert only(patients, labels, patients, minimum=0.6) == []
    assert only(patients, labels, minimum=0.6) != [], "were the patients not kept together it would"


def test_one_class_given_away_names_the_class():
    labels = alternating(300, "abc")
    found = only(["cohen" if label == "b" else "nih" for label in labels], labels)
    assert [(shortcut.label, shortcut.accuracy) for shortcut in found] == [("b", 1.0)]


def test_a_column_that_gives_all_classes_away_is_told_once():
    labels = alternating(300, "abc")
    assert [shortcut.label for shortcut in only(labels, labels)] == [""]


def test_balanced_accuracy_is_not_taken_in_by_a_rare_class():
    labels = pd.Series(["b"] * 10 + ["a"] * 990)
    assert only(["x"] * 1000, labels, minimum=0.6) == []
    assert only(["y"] * 10 + ["x"] * 990, labels)[0].accuracy == 1.0


def test_chance_on_few_scans_is_no_shortcut():
    fired = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        table = pd.DataFrame({f"c{n}": rng.integers(0, 2, 24) for n in range(20)})
        labels = pd.Series(rng.choice(["a", "b"], 24, p=[0.85, 0.15]))
        fired += bool(find_shortcuts(table, labels, people(24), 0.9))
    assert fired <= 1


def test_many_scans_of_few_patients_are_no_evidence():
    labels = pd.Series(["a"] * 100 + ["b"] * 100)
    patients = pd.Series(["p1"] * 50 + ["p2"] * 50 + ["p3"] * 50 + ["p4"] * 50)
    assert only(["x"] * 100 + ["y"] * 100, labels, patients) == []


@pytest.mark.parametrize("labels", [[], ["a"], ["a", "a", "a"], ["a", "b"], ["a", "a", "b"]])
def test_too_few_patients_give_no_verdict(labels):
    assert only(labels, pd.Series(labels, dtype=object)) == []


def test_large_sets_are_sampled_and_still_caught():
    count = 30_000
    rng = np.random.default_rng(1)
    labels = pd.Series(rng.choice(["a", "b", "c"], count, p=[0.9, 0.09, 0.01]))
    table = pd.DataFrame(
        {"size": np.where(labels == "c", 700, 500) + rng.integers(0, 90, count), "noise": rng.random(count)}
    )
    found = find_shortcuts(table, labels, people(count, scans=2), MINIMUM)
    assert [(shortcut.column, shortcut.label) for shortcut in found] == [("size", "c")]
    assert found[0].scans <= shortcuts.MAX_SCANS
    assert found == find_shortcuts(table, labels, people(count, scans=2), MINIMUM)


def test_rows_are_matched_by_position_not_by_index():
    labels = alternating(100)
    labels.index = pd.RangeIndex(500, 600)
    assert only(labels.tolist(), labels)[0].accuracy == 1.0


def test_the_source_of_the_covid_radiographs_is_found(shared_data):
    table = pd.read_csv(shared_data / "cxr" / "labels.csv")
    shapes = [
        cv2.imread(str(shared_data / "cxr" / path), cv2.IMREAD_GRAYSCALE).shape for path in table["path"]
    ]
    rng = np.random.default_rng(0)
    columns = pd.DataFrame({"source": table["source"], "name": table["path"].str.split("/").str[1],
                            "noise": rng.random(len(table)), "patient": table["patient_id"]})  # fmt: skip
    columns["height"], columns["width"] = zip(*shapes, strict=True)
    found = find_shortcuts(columns, table["label"], table["patient_id"], MINIMUM)
    assert [(one.column, one.label) for one in found] == [("source", "covid")]
    assert found[0].accuracy == 1.0


def ct_tags(shared_data) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Every tag of the CT slices as text, and their labels."""
    table = pd.read_csv(shared_data / "ct_contrast" / "labels.csv")
    rows = []
    for path in table["path"]:
        header = pydicom.dcmread(shared_data / "ct_contrast" / path, stop_before_pixels=True)
        rows.append({one.keyword or str(one.tag): str(one.value) for one in header if one.VR != "SQ"})
    return pd.DataFrame(rows), table


def test_a_header_tag_that_only_one_class_has_is_found_among_hundreds(shared_data):
    tags, table = ct_tags(shared_data)
    planted = tags.assign(
        ContrastBolusAgent=np.where(table["label"] == "contrast", "agent " + table["path"], "")
    )
    found = find_shortcuts(planted, table["label"], table["patient_id"], MINIMUM)
    assert [(one.column, one.label) for one in found] == [("ContrastBolusAgent", "")]


def test_the_tags_as_they_are_tell_too_little(shared_data):
    """Only 2 of the 16 contrast slices name their agent: true, and no way to tell the rest."""
    tags, table = ct_tags(shared_data)
    assert find_shortcuts(tags, table["label"], table["patient_id"], MINIMUM) == []

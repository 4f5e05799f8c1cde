from __future__ import annotations

from pathlib import Path

import pandas as pd

from scanlens.manifest.gate.leakage import Leak, find_leaks, leaks_table
from scanlens.manifest.near_copies.find import Pair


def manifest(*rows: tuple[str, str, str, str], status: dict[int, str] | None = None) -> pd.DataFrame:
    """Rows of patient, label, split and pixels; the path is the row's number."""
    table = pd.DataFrame(rows, columns=["patient", "label", "split", "pixel_sha256"])
    table["sha256"] = [f"file{row}" for row in range(len(table))]
    table["path"] = [f"{row}.png" for row in range(len(table))]
    table["status"] = [(status or {}).get(row, "ok") for row in range(len(table))]
    # A manifest's rows keep the listing's index, which need not count from zero.
    return table.set_index(pd.RangeIndex(10, 10 + len(table)))


CLEAN = manifest(("p1", "a", "train", "x1"), ("p1", "a", "train", "x2"), ("p2", "b", "test", "x3"))


def kinds(leaks: list[Leak]) -> list[str]:
    return [leak.kind for leak in leaks]


def test_a_clean_manifest_has_no_leak():
    leaks = find_leaks(CLEAN, [Pair(0, 1, 0.99)])
    assert leaks == []


def test_a_patient_in_two_splits_is_one_leak():
    rows = [("p1", "a", split, f"x{split}{n}") for split in ("val", "train", "test") for n in range(200)]
    leaks = find_leaks(manifest(*rows, ("p2", "b", "test", "y")), [])
    assert leaks == [Leak("patient", "0.png", "200.png", "train | val | test", 600)]


def test_equal_pixels_in_two_splits_are_one_leak_a_group():
    leaks = find_leaks(
        manifest(
            ("p1", "a", "train", "x"), ("p2", "a", "test", "x"), ("p3", "a", "test", "x"),
            ("p4", "a", "val", "y"),
        ),
        [Pair(0, 1, 1.0), Pair(0, 2, 1.0)],
    )  # fmt: skip
    assert leaks == [Leak("copy", "0.png", "1.png", "train | test", 3)]


def test_equal_files_are_copies_where_pixels_have_no_hash():
    table = manifest(("p1", "a", "train", ""), ("p2", "a", "test", ""), ("p3", "a", "test", ""))
    assert find_leaks(table, []) == []
    table["sha256"] = ["f", "f", "g"]
    assert kinds(find_leaks(table, [])) == ["copy"]


def test_scans_that_were_never_read_are_no_copies_of_each_other():
    table = manifest(("p1", "a", "train", ""), ("p2", "b", "test", "")).assign(sha256="")
    assert find_leaks(table, []) == []


def test_near_copies_leak_across_splits_alone():
    table = manifest(("p1", "a", "train", "x"), ("p2", "a", "test", "y"), ("p3", "a", "test", "z"))
    leaks = find_leaks(table, [Pair(0, 1, 0.98765), Pair(1, 2, 0.99)])
    assert leaks == [Leak("near_copy", "0.png", "1.png", "train | test, correlation 0.988", 2, 0.98765)]


def test_equal_and_nearly_equal_pixels_under_two_labels_contradict_each_other():
    table = manifest(
        ("p1", "b", "train", "x"), ("p2", "a", "train", "x"), ("p3", "a", "train", "y"),
        ("p4", "b", "train", "z"),
    )  # fmt: skip
    leaks = find_leaks(table, [Pair(0, 1, 1.0), Pair(2, 3, 0.995)])
    assert leaks == [
        Leak("contradiction", "0.png", "1.png", "a | b", 2),
        Leak("contradiction", "2.png", "3.png", "a | b, correlation 0.995", 2, 0.995),
    ]


def test_likeness_of_one_patient_or_of_neighbouring_slices_is_no_contradiction():
    table = manifest(("p1", "a", "train", "x"), ("p1", "b", "train", "y"), ("p2", "b", "train", "z"))
    assert find_leaks(table, [Pair(0, 1, 0.999), Pair(0, 2, 0.98)]) == []


def test_quarantined_scans_leak_nothing_but_their_contradiction():
    reason = "contradiction: same content as 1.png, labelled a"
    table = manifest(
        ("p1", "b", "", "x"), ("p1", "a", "", "x"), ("p1", "a", "train", "y"), ("p1", "a", "test", "z"),
        status={0: reason, 1: reason, 3: "blank: every pixel is 0"},
    )  # fmt: skip
    assert kinds(find_leaks(table, [Pair(2, 3, 0.99)])) == ["contradiction"]


def test_the_table_lists_every_leak(tmp_path: Path):
    leaks = [
        Leak("patient", "1.png", "101.png", "train | test", 4),
        Leak("near_copy", "7.png", "9.png", "train | val, correlation 0.980", 2, 0.98),
    ]
    leaks_table(leaks).to_csv(tmp_path / "leaks.csv", index=False)
    back = pd.read_csv(tmp_path / "leaks.csv")
    assert back.columns.tolist() == ["kind", "first", "second", "detail", "scans"]
    assert back["second"].tolist() == ["101.png", "9.png"]
    assert leaks_table([]).columns.tolist() == back.columns.tolist()


def test_a_hundred_thousand_scans_of_one_patient_are_one_leak():
    count = 100_000
    table = pd.DataFrame(
        {
            "patient": "p", "label": "a", "split": ["train", "test"] * (count // 2), "status": "ok",
            "path": [f"{n}.png" for n in range(count)], "sha256": [f"f{n}" for n in range(count)],
            "pixel_sha256": [f"x{n}" for n in range(count)],
        }
    )  # fmt: skip
    assert find_leaks(table, []) == [Leak("patient", "0.png", "1.png", "train | test", count)]

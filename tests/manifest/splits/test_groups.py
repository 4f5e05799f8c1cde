"""What belongs together, also in chains."""

from __future__ import annotations

import pandas as pd

from scanlens.manifest.splits.groups import group_names, patient_groups


def table(patient: str, sha256: str, pixels: str = "") -> pd.DataFrame:
    return pd.DataFrame(
        {
            "patient": list(patient),
            "sha256": list(sha256),
            "pixel_sha256": list(pixels) or [""] * len(patient),
        }
    )


def test_patients_and_contents_join_in_chains() -> None:
    assert patient_groups(table("abcad", "12234")).tolist() == [0, 1, 1, 0, 2]
    assert patient_groups(table("abbcd", "11223")).tolist() == [0, 0, 0, 0, 1]


def test_equal_pixels_join_scans_of_different_files() -> None:
    assert patient_groups(table("abcd", "1234", "xyzx")).tolist() == [0, 1, 2, 0]


def test_links_join_by_place() -> None:
    scans = table("abcde", "12345").set_index(pd.Index([7, 3, 9, 1, 0]))
    assert patient_groups(scans, [(0, 3), (3, 4)]).tolist() == [0, 1, 2, 0, 0]


def test_what_is_unknown_joins_nothing() -> None:
    scans = pd.DataFrame({"patient": ["", ""], "sha256": ["", ""], "pixel_sha256": ["", ""]})
    assert patient_groups(scans).tolist() == [0, 1]


def test_a_groups_name_is_its_first_scan_whatever_the_order() -> None:
    scans = table("abca", "1234").assign(scan_id=["d", "c", "b", "a"])
    assert group_names(scans, [(1, 2)]).tolist() == ["a", "b", "b", "a"]
    turned = group_names(scans.iloc[::-1], [(1, 2)])
    assert turned.index.tolist() == [3, 2, 1, 0]
    assert turned.sort_index().tolist() == ["a", "b", "b", "a"]

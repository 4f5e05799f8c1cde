"""DICOM series: one volume, or reasons; never a part for the whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from scanlens.manifest.survey import CHECKS, survey
from scanlens.scaling.engine import IN_PROCESS

Case = Callable[[str], Path]


def looked(folder: Path) -> dict[str, str]:
    """Reason by reference, empty where accepted."""
    found = survey(folder, dims=3, checks=CHECKS, engine=IN_PROCESS)
    return {scan.path: scan.reason for scan in found.scans}


@pytest.mark.parametrize("number", ["20", "22", "23", "24", "25", "27", "30", "39"])
def test_one_volume(case: Case, number: str) -> None:
    assert list(looked(case(number)).values()) == [""]


@pytest.mark.parametrize(
    ("number", "reference", "reason"),
    [
        ("26", "s", "more than one patient"),
        ("31", "s", "variable slice distance: 6 times 2.5 mm, then 5 times 5 mm"),
        ("36", "s", "s/IM005.dcm: truncated: 1148 of 2048"),
        ("37", "s", "gap: 1 of its slices missing"),
        ("38", "s", "3 of its 12 files damaged"),
    ],
)
def test_refused(case: Case, number: str, reference: str, reason: str) -> None:
    found = looked(case(number))
    assert reason in found[reference]
    assert all(found.values())


def test_damaged_files_are_named(case: Case) -> None:
    assert "s/IM009.dcm, s/IM010.dcm, s/IM011.dcm" in looked(case("38"))["s"]


@pytest.mark.parametrize(("number", "others"), [("28", 1), ("33", 3)])
def test_what_lies_beside_a_series_is_told_apart(case: Case, number: str, others: int) -> None:
    reasons = looked(case(number))
    assert reasons.pop("s") == ""
    assert len(reasons) == others
    assert all(reasons.values())

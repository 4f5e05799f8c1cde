"""Tables and class folders: what the pipeline will make of them, as ``scanlens check --labels`` tells."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scanlens.errors import SettingsError
from scanlens.preview.run import Preview, preview, settings_for
from scanlens.scaling.engine import IN_PROCESS

Case = Callable[[str], Path]
TWO = {"normal": 12, "sick": 12}


def look(project: Path, folder: Path, *overrides: str) -> Preview:
    tables = sorted(folder.rglob("*.csv"))
    labels = tables[0].relative_to(folder).as_posix() if tables else "folders"
    volumes = ["data.dims=3"] if any(folder.rglob("*.nii*")) else []
    settings = settings_for(project, folder, labels, [*volumes, *overrides])
    return preview(settings.data, settings.acquire, settings.manifest, IN_PROCESS)


@pytest.mark.parametrize(
    ("number", "classes", "said"),
    [
        ("02", {"a": 12, "b": 12}, ""),
        ("40", TWO, ""),
        ("41", TWO, "backslashes"),
        ("42", TWO, "Unicode form"),
        ("43", {"0": 20, "1": 20}, "'1' (10), '1.0' (10)"),
        ("44", {"normal": 16, "sick": 16}, "word for nothing"),
        ("45", {"normal": 20, "sick": 20}, "differ only in spelling"),
        ("46", TWO, ""),
        ("47", TWO, "ending"),
        ("48", TWO, "case"),
        ("50", TWO, ""),
        ("52", {"normal": 20, "sick": 20}, "20 scans name no patient"),
        ("53", {"normal": 20, "sick": 20}, "leading zeros"),
        ("57", {"FALSE": 12, "TRUE": 12}, "differ only in spelling"),
        ("59", TWO, ""),
        ("60", {"NORMAL": 36, "PNEUMONIA": 36}, ""),
        ("61", {"no": 12, "yes": 12}, ""),
        ("63", {"NORMAL": 30, "PNEUMONIA": 30}, ""),
        ("64", {"Normal": 28, "sick": 14}, "differ only in spelling"),
        ("65", TWO, ""),
        ("66", TWO, ""),
        ("67", TWO, ""),
        ("69", {"normal": 13, "sick": 12}, "repeat the pixels"),
        ("70", TWO, ""),
        ("71", {"large": 12, "small": 12}, ""),
        ("72", {"large": 12, "small": 12}, ""),
        ("73", {"large": 12, "small": 12}, ""),
        ("79", {"no": 12, "yes": 12}, ""),
        ("85", {"normal": 18, "rare": 3, "sick": 19}, "test has no scan of class rare"),
        ("86", {"normal": 30, "sick": 30}, ""),
        ("88", {"no": 20, "yes": 20}, ""),
    ],
)
def test_read(case: Case, project: Path, number: str, classes: dict[str, int], said: str) -> None:
    found = look(project, case(number))
    assert found.facts["classes"] == classes
    assert said in " ".join(found.facts["warnings"])
    assert found.built.manifest["scan_id"].is_unique


@pytest.mark.parametrize(
    ("number", "status"),
    [
        ("44", {"no label": 8, "ok": 32}),
        ("46", {"ok": 24}),
        ("59", {"listed more than once": 3, "ok": 24}),
        ("66", {"ok": 24, "the path is empty": 2}),
        ("67", {"file not found": 2, "ok": 24}),
        ("70", {"listed more than once": 2, "ok": 24}),
    ],
)
def test_every_row_ends_somewhere(case: Case, project: Path, number: str, status: dict[str, Any]) -> None:
    assert look(project, case(number)).facts["status"] == status


def test_folders_called_as_splits_are_splits(case: Case, project: Path) -> None:
    assert set(look(project, case("60")).facts["splits"]) == {"train", "val", "test"}


def test_patients_by_a_column_however_spelt(case: Case, project: Path) -> None:
    columns = ("data.columns.path='Image Index'", "data.columns.label='Finding Labels'")
    found = look(project, case("80"), *columns)
    assert found.facts["patients_by"]["nobody"] == 0
    assert sum(found.facts["patients"].values()) == 15


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        ("49", "not UTF-8"),
        ("51", "several labels"),
        ("56", "file not found"),
        ("58", "outside the data root"),
        ("62", "found 1: dataset"),
        ("82", "one and the same patient"),
        ("83", "StudyInstanceUID"),
        ("87", "declared split ''"),
    ],
)
def test_refused(case: Case, project: Path, number: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        look(project, case(number))


def test_zip_archives_with_backslashes(case: Case, project: Path) -> None:
    from scanlens.sources.listing.tree import list_tree

    listed = list_tree(case("76"), dims=2)["path"].tolist()
    assert "a_backslash.zip#member/study/img0.png" in listed
    assert "d_umlaut_cp437.zip#member/Müller/a.png" in listed

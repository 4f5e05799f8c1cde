"""Series over a whole tree: parts, missing and constant UIDs, copies, and files that should be slices."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import RTDoseStorage

from scanlens.errors import UnreadableScan
from scanlens.privacy.aliases import record_aliases
from scanlens.privacy.pseudonym import load_key
from scanlens.sources.content import parts_of_series
from scanlens.sources.listing.tree import list_tree
from scanlens.sources.read import read_scan
from tests.helpers.dicom import ct_slice, dataset, save

COUNT = 8
VOLUME = np.random.default_rng(4).integers(0, 4096, (COUNT, 6, 6), dtype=np.uint16)
Change = Callable[[int, Dataset], None]


def write(
    root: Path, place: Callable[[int], str], change: Change | None = None, start: float = 0, first: int = 0
) -> None:
    """Slices 5 mm apart, each saved at the path that ``place`` says."""
    for number in range(first, COUNT):
        made = ct_slice(VOLUME[number], (0, 0, start + 5 * number), (1, 0, 0, 0, 1, 0), number + 1)
        made.SOPInstanceUID = f"1.2.3.{int(start)}.{number}"
        if change:
            change(number, made)
        path = root / place(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        save(path.parent, made, path.name)


def listed(root: Path) -> dict[str, str]:
    """Each row's problem or, of what can be read, its depth; or the reason why it can't."""
    found = {}
    for path, problem in list_tree(root, dims=3).itertuples(index=False):
        try:
            found[path] = problem or str(read(root, path).shape[1])
        except UnreadableScan as refused:
            found[path] = refused.reason
    return found


def read(root: Path, reference: str) -> np.ndarray:
    return read_scan(root, reference, dims=3, max_pixels=10**5).pixels


def the_one(root: Path) -> str:
    """The one reference there is, whose volume is all slices in order."""
    (reference,) = listed(root)
    np.testing.assert_array_equal(read(root, reference)[0], VOLUME)
    return reference


def own_uid(number: int, made: Dataset) -> None:
    made.SeriesInstanceUID = f"1.2.5.{number}"


def no_uid(number: int, made: Dataset) -> None:
    del made.SeriesInstanceUID


def no_uid_for_some(number: int, made: Dataset) -> None:
    if number > 5:
        del made.SeriesInstanceUID


def random_uids(number: int, made: Dataset) -> None:
    made.SeriesInstanceUID, made.StudyInstanceUID = f"1.2.5.{number}", f"1.2.6.{number}"


@pytest.mark.parametrize(
    ("place", "change", "start"),
    [
        (lambda n: f"disk/DIR{n // 4}/IM{n:03}", None, "disk#series/"),
        (lambda n: f"IM{n}" if n < 4 else f"more/IM{n}", None, ".#series/"),
        (lambda n: f"{n:02x}/IM{n:03}.dcm", None, ".#series/"),
        (lambda n: f"study/{n:02x}/IM{n:03}.dcm", own_uid, "study#series/"),
        (lambda n: f"s/{n}.dcm", own_uid, "s"),
        (lambda n: f"s/{n}.dcm", random_uids, "s"),
        (lambda n: f"s/{n}.dcm", no_uid, "s"),
        (lambda n: f"s/{n}.dcm", no_uid_for_some, "s"),
    ],
)
def test_one_volume(tmp_path: Path, place: Callable[[int], str], change: Change | None, start: str) -> None:
    write(tmp_path, place, change)
    assert the_one(tmp_path).startswith(start)


def test_a_folder_above_is_enough(tmp_path: Path) -> None:
    write(tmp_path, lambda n: f"disk/DIR{n // 4}/IM{n:03}")
    np.testing.assert_array_equal(read(tmp_path, "disk")[0], VOLUME)
    problems = parts_of_series(tmp_path, ["disk", "disk/DIR0", "disk/DIR1/IM004"])
    assert list(problems) == ["disk/DIR0"]
    assert "a part of a series in 2 folders" in problems["disk/DIR0"]


def test_parts_that_leave_a_gap_are_refused_with_their_folders(tmp_path: Path) -> None:
    write(tmp_path, lambda n: f"d/DIR{n // 4}/IM{n:03}")
    (tmp_path / "d" / "DIR1" / "IM005").unlink()
    ((reference, reason),) = listed(tmp_path).items()
    assert "gap: 1 of its slices missing, 7 are here" in reason
    assert "one series in 2 folders: d/DIR0, d/DIR1" in reason
    record_aliases({reference}, load_key())
    alias = record_aliases({reference}, load_key())[reference]
    with pytest.raises(UnreadableScan) as refused:
        read(tmp_path, alias)
    assert "gap" in refused.value.reason
    assert "DIR" not in refused.value.reason


@pytest.mark.parametrize("same", ["places", "numbers", "another patient"])
def test_a_constant_uid_joins_no_scans(tmp_path: Path, same: str) -> None:
    """Two scans in two folders, as before: at the same places, or numbered anew, or of two patients."""

    def other(number: int, made: Dataset) -> None:
        made.SOPInstanceUID = f"1.2.4.{number}"
        if same == "another patient":
            made.PatientID = "other"

    write(tmp_path, lambda n: f"a/{n}.dcm")
    write(tmp_path, lambda n: f"b/{n}.dcm", other, start={"numbers": 101, "places": 0}.get(same, 40))
    assert listed(tmp_path) == {"a": "8", "b": "8"}


def test_partial_copies_are_no_volume(tmp_path: Path) -> None:
    write(tmp_path, lambda n: f"all/{n}.dcm")
    write(tmp_path, lambda n: f"key/{n}.dcm", first=4)
    found = listed(tmp_path)
    assert found["all"] == "8"
    assert found["key"] == "copies of some slices of a series that lies whole in another folder"
    assert list(parts_of_series(tmp_path, ["all", "key"])) == ["key"]


def test_slices_without_a_uid_that_leave_doubt_stay_apart(tmp_path: Path) -> None:
    write(tmp_path, lambda n: f"s/{n}.dcm", no_uid)
    (tmp_path / "s" / "3.dcm").unlink()
    reasons = set(listed(tmp_path).values())
    assert len(listed(tmp_path)) == 7
    assert all("SeriesInstanceUID is missing" in reason for reason in reasons)


def test_patients_without_a_uid_are_kept_apart(tmp_path: Path) -> None:
    def second(number: int, made: Dataset) -> None:
        no_uid(number, made)
        made.PatientID = "second"

    write(tmp_path, lambda n: f"s/a{n}.dcm", no_uid)
    write(tmp_path, lambda n: f"s/b{n}.dcm", second, start=100)
    found = listed(tmp_path)
    assert list(found.values()) == ["8", "8"]
    assert all(path.startswith("s#series/") for path in found)


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "emptied": lambda content: b"",
    "zeros": lambda content: bytes(len(content)),
    "header cut": lambda content: content[:300],
    "pixels cut": lambda content: content[:-20],
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("place", ["s/IM{:03}", "s{0:x}/IM{0:03}.dcm", "s/1.2.840.{}"])
def test_a_damaged_slice_refuses_its_series_and_is_named(tmp_path: Path, damage: str, place: str) -> None:
    write(tmp_path, lambda n: place.format(n))
    last = tmp_path / place.format(COUNT - 1)
    last.write_bytes(DAMAGE[damage](last.read_bytes()))
    found = listed(tmp_path)
    (reason,) = (reason for path, reason in found.items() if path != place.format(COUNT - 1))
    assert place.format(COUNT - 1) in reason
    assert "8" not in found.values()


def test_a_damaged_member_of_an_archive_refuses_its_series(tmp_path: Path) -> None:
    write(tmp_path / "in", lambda n: f"{n}.dcm")
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for path in sorted((tmp_path / "in").iterdir()):
            archive.writestr(f"deep/{path.name}", b"" if path.name == "7.dcm" else path.read_bytes())
    assert "1 of its 8 files damaged" in listed(tmp_path)["x.zip"]
    assert "deep/7.dcm" in listed(tmp_path)["x.zip"]
    assert listed(tmp_path)["in"] == "8"


def test_other_files_beside_a_series_do_no_harm(tmp_path: Path) -> None:
    write(tmp_path, lambda n: f"s/IM{n}.dcm")
    dose = dataset(np.zeros((2, 6, 6), np.uint16), SOPClassUID=RTDoseStorage)
    save(tmp_path / "s", dose, "IM8.dcm")
    for name in ("README", "IM1.json", "notes.txt"):
        (tmp_path / "s" / name).write_text("no DICOM")
    found = listed(tmp_path)
    assert found["s"] == "8"
    assert found["s/IM8.dcm"] == "not a scan: RT Dose Storage"

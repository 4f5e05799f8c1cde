"""Class folders: the first level is the label, and nothing below it is lost or followed for ever."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from scanlens.config.schema import Data
from scanlens.errors import SettingsError
from scanlens.sources.listing.folder import list_folder
from tests.sources.readers.test_series_index import write_series

Make = Callable[..., Data]


def test_labels_are_the_first_level(scans: Path, settings: Make) -> None:
    (scans / "ill" / "deep" / "er").mkdir(parents=True)
    shutil.copy(scans / "ill" / "0.png", scans / "ill" / "deep" / "er" / "x.png")
    (scans / "ill" / "notes.txt").write_text("listed, quarantined later")
    (scans / "ill" / ".hidden").write_text("")
    (scans / "readme.md").write_text("")
    listing = list_folder(settings("folder"), scans)
    assert dict(zip(listing["path"], listing["label"], strict=True)) == {
        "ill/0.png": "ill",
        "ill/2.png": "ill",
        "ill/4.png": "ill",
        "ill/deep/er/x.png": "ill",
        "ill/notes.txt": "ill",
        "well/1.png": "well",
        "well/3.png": "well",
        "well/5.png": "well",
    }
    assert (listing["problem"] == "").all()


def test_links_end(scans: Path, settings: Make, tmp_path: Path) -> None:
    shutil.copy(scans / "ill" / "0.png", tmp_path / "secret.png")
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(scans / "ill" / "0.png", tmp_path / "elsewhere" / "a.png")
    (scans / "ill" / "loop").symlink_to("../ill")
    (scans / "ill" / "self.png").symlink_to("self.png")
    (scans / "ill" / "out").symlink_to(tmp_path / "elsewhere")
    (scans / "ill" / "secret.png").symlink_to(tmp_path / "secret.png")
    listing = list_folder(settings("folder"), scans).set_index("path")["problem"]
    assert listing[listing != ""].to_dict() == {
        "ill/loop": "a link to a folder that is listed already",
        "ill/self.png": "a loop of symbolic links",
        "ill/out": "outside the data root",
        "ill/secret.png": "outside the data root",
    }


def test_masks_are_no_scans(scans: Path, settings: Make) -> None:
    for name in ("0_mask_10.png", "0_mask_2.png", "0_mask.png", "0_mask_1.png", "lonely_mask.png"):
        shutil.copy(scans / "ill" / "0.png", scans / "ill" / name)
    listing = list_folder(settings("folder"), scans).set_index("path")["mask"]
    assert listing["ill/0.png"] == "ill/0_mask.png|ill/0_mask_1.png|ill/0_mask_2.png|ill/0_mask_10.png"
    assert "ill/lonely_mask.png" in listing
    assert len(listing) == 7


@pytest.mark.parametrize(("scan", "mask"), [("0.nii.gz", "0_mask.nii.gz"), ("0.jpg", "0_Mask.png")])
def test_masks_behind_other_endings(scans: Path, settings: Make, scan: str, mask: str) -> None:
    (scans / "ill" / "0.png").rename(scans / "ill" / scan)
    shutil.copy(scans / "ill" / "2.png", scans / "ill" / mask)
    listing = list_folder(settings("folder"), scans).set_index("path")["mask"]
    assert listing[f"ill/{scan}"] == f"ill/{mask}"
    assert len(listing) == 6


def test_what_systems_leave_behind_is_passed_over(scans: Path, settings: Make) -> None:
    (scans / "__MACOSX" / "ill").mkdir(parents=True)
    (scans / "ill" / "@eaDir").mkdir()
    for name in (
        "__MACOSX/ill/._0.png",
        "ill/._0.png",
        "ill/Thumbs.db",
        "well/Desktop.ini",
        "ill/@eaDir/0.png",
    ):
        (scans / name).write_bytes(b"")
    listing = list_folder(settings("folder"), scans)
    assert listing["label"].value_counts().to_dict() == {"ill": 3, "well": 3}


def _in_splits(scans: Path, above: bool) -> Path:
    root = scans.parent / "dealt"
    for split, numbers in (("Training", "01"), ("valid", "23"), ("TEST", "45")):
        for number in numbers:
            label = ("ill", "well")[int(number) % 2]
            folder = root / split / label if above else root / label / split
            folder.mkdir(parents=True)
            shutil.copy(scans / label / f"{number}.png", folder)
    return root


@pytest.mark.parametrize("above", [True, False])
def test_folders_called_as_splits_are_the_declared_split(scans: Path, settings: Make, above: bool) -> None:
    root = _in_splits(scans, above)
    listing = list_folder(settings("folder"), root)
    by_number = listing.set_index(listing["path"].str[-5]).sort_index()
    assert by_number["split"].tolist() == ["train", "train", "val", "val", "test", "test"]
    assert by_number["label"].tolist() == ["ill", "well"] * 3
    dealt = list_folder(settings("folder", split=None), root)
    assert dealt.drop(columns="split").equals(listing.drop(columns="split"))
    assert (dealt["split"] == "").all()


def test_folders_half_called_as_splits_are_refused(scans: Path, settings: Make) -> None:
    (scans / "ill").rename(scans / "test")
    with pytest.raises(SettingsError, match=r"as splits \(test\) beside others \(well\).*data\.labels"):
        list_folder(settings("folder"), scans)
    listing = list_folder(settings("folder", labels=["test", "well"]), scans)
    assert set(listing["label"]) == {"test", "well"}
    (scans / "well").rename(scans / "train")
    with pytest.raises(SettingsError, match="test is called as a split and holds no class folders"):
        list_folder(settings("folder"), scans)


def test_a_class_that_is_only_half_in_splits_is_refused(scans: Path, settings: Make) -> None:
    root = _in_splits(scans, False)
    (root / "ill" / "Training").rename(root / "ill" / "Training 2")
    (root / "ill" / "train").mkdir()
    shutil.copy(scans / "ill" / "0.png", root / "ill" / "train")
    with pytest.raises(SettingsError, match=r"1 of 4 files of the class folder .*ill lie in none"):
        list_folder(settings("folder"), root)


def test_classes_that_differ_in_case_are_one_and_said(scans: Path, settings: Make) -> None:
    (scans / "Ill").mkdir()
    (scans / "ill" / "0.png").rename(scans / "Ill" / "0.png")
    told: list[str] = []
    listing = list_folder(settings("folder"), scans, told.append)
    assert listing["label"].value_counts().to_dict() == {"ill": 3, "well": 3}
    assert "'ill' (2), 'Ill' (1) as 'ill'" in told[0]


def test_a_folder_that_cannot_be_entered(
    scans: Path, settings: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    (scans / "ill" / "closed").mkdir()
    listed = Path.iterdir

    def refuse(path: Path) -> object:
        if path.name == "closed":
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", refuse)
    listing = list_folder(settings("folder"), scans).set_index("path")["problem"]
    assert listing["ill/closed"] == "permission denied"


@pytest.mark.parametrize(
    ("prepare", "changes", "reason"),
    [
        (lambda root: (root / "empty").mkdir(), {}, "empty is empty"),
        (lambda root: None, {"labels": ["ill", "worse"]}, "Folder .*well.*'well' is not in data.labels"),
        (lambda root: [shutil.rmtree(root / name) for name in ("ill", "well")], {}, "no class folders"),
    ],
)
def test_refused(
    scans: Path, settings: Make, prepare: Callable[[Path], object], changes: dict[str, object], reason: str
) -> None:
    prepare(scans)
    with pytest.raises(SettingsError, match=reason):
        list_folder(settings("folder", **changes), scans)


def test_a_file_is_no_root(scans: Path, settings: Make) -> None:
    with pytest.raises(SettingsError, match="not a folder"):
        list_folder(settings("folder"), scans / "ill" / "0.png")


def test_a_series_in_two_class_folders_is_of_neither(tmp_path: Path, settings: Make) -> None:
    for folder, number in (("ill/1", 1), ("ill/2", 2), ("well/3", 3)):
        write_series(tmp_path / folder, number)
    (tmp_path / "well" / "rest").mkdir()
    for path in write_series(tmp_path / "ill" / "parted", 4, slices=6)[3:]:
        path.rename(tmp_path / "well" / "rest" / path.name)
    write_series(tmp_path, 5)
    write_series(tmp_path, 6)  # beside the class folders: passed over
    listing = list_folder(settings("folder", dims=3), tmp_path)
    usable = listing[listing["problem"] == ""]
    assert dict(zip(usable["path"], usable["label"], strict=True)) == {
        "ill/1": "ill",
        "ill/2": "ill",
        "well/3": "well",
    }
    (problem,) = listing["problem"][listing["problem"] != ""]
    assert problem == "a series that does not lie in one class folder"

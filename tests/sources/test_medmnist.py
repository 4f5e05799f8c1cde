"""MedMNIST files: the official split, class names, and rows read without the whole."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from scanlens.config.schema import Data
from scanlens.errors import SettingsError, UnreadableScan
from scanlens.sources.listing.medmnist import list_npz
from scanlens.sources.listing.tree import list_tree
from scanlens.sources.read import content_sha256, read_scan
from scanlens.sources.readers import medmnist
from scanlens.sources.readers.medmnist import list_rows

Make = Callable[..., Data]


def archive(folder: Path, *side: int, rows: int = 4, name: str = "a.npz", **changes: object) -> Path:
    rng = np.random.default_rng(0)
    arrays: dict[str, object] = {}
    for split in ("train", "val", "test"):
        arrays[f"{split}_images"] = rng.integers(0, 255, (rows, *side), dtype=np.uint8)
        arrays[f"{split}_labels"] = (np.arange(rows) % 2)[:, None]
    np.savez_compressed(folder / name, **(arrays | changes))
    return folder / name


def test_rows_and_official_split(tmp_path: Path, settings: Make) -> None:
    listing = list_npz(settings("medmnist"), archive(tmp_path, 6, 5))
    assert list(listing["path"][:2]) == ["a.npz#train/0", "a.npz#train/1"]
    assert listing["split"].value_counts().to_dict() == {"train": 4, "val": 4, "test": 4}
    assert list(listing["label"][:2]) == ["0", "1"]
    named = list_npz(settings("medmnist", labels=["well", "ill"]), tmp_path)
    assert list(named["label"][:2]) == ["well", "ill"]


@pytest.mark.parametrize(("side", "dims"), [((6, 5), 2), ((6, 5, 3), 2), ((4, 6, 5), 3)])
def test_rows_are_read(tmp_path: Path, side: tuple[int, ...], dims: int) -> None:
    path = archive(tmp_path, *side)
    stored = np.load(path)["val_images"][2]
    expected = stored.transpose(2, 0, 1) if side[-1] == 3 else stored[None]
    for root in (path, tmp_path):
        scan = read_scan(root, "a.npz#val/2", dims=dims, max_pixels=1000)
        np.testing.assert_array_equal(scan.pixels, expected)
        assert content_sha256(root, "a.npz#val/2") == hashlib.sha256(stored.tobytes()).hexdigest()


def test_an_altered_file_is_opened_anew(tmp_path: Path) -> None:
    before = read_scan(archive(tmp_path, 6, 5), "a.npz#val/0", dims=2, max_pixels=1000)
    after = read_scan(archive(tmp_path, 7, 5), "a.npz#val/0", dims=2, max_pixels=1000)
    assert (before.pixels.shape, after.pixels.shape) == ((1, 6, 5), (1, 7, 5))


@pytest.mark.parametrize(
    ("reference", "dims", "reason"),
    [
        ("a.npz#val/4", 2, "no such row: val holds 4"),
        ("a.npz#val/0", 3, r"set data\.dims=2"),
        ("b.npz#val/0", 2, "file not found"),
        ("../a.npz#val/0", 2, "outside the data root"),
        ("a.npz", 2, "not an image"),
    ],
)
def test_refused_rows(tmp_path: Path, reference: str, dims: int, reason: str) -> None:
    with pytest.raises(UnreadableScan, match=reason):
        read_scan(archive(tmp_path, 6, 5), reference, dims=dims, max_pixels=1000)


def test_objects_are_never_unpickled(tmp_path: Path, settings: Make) -> None:
    path = archive(tmp_path, 6, 5, val_images=np.array([{}, {}, {}, {}], dtype=object))
    with pytest.raises(UnreadableScan, match=r"truncated or corrupt \(ValueError\)"):
        read_scan(path, "a.npz#val/0", dims=2, max_pixels=1000)
    with pytest.raises(SettingsError, match="not a MedMNIST file"):
        list_npz(settings("medmnist"), path)


def test_an_archive_that_unpacks_a_thousandfold(tmp_path: Path) -> None:
    path = archive(tmp_path, 6, 5, val_images=np.zeros((4, 4000, 4000), np.uint8))
    with pytest.raises(UnreadableScan, match="corrupt"):
        read_scan(path, "a.npz#val/0", dims=2, max_pixels=10**8)


def _encrypted(content: bytearray) -> None:
    content[content.find(b"PK\1\2") + 8] |= 1
    content[content.find(b"PK\3\4") + 6] |= 1


def _other_method(content: bytearray) -> None:
    content[content.find(b"PK\1\2") + 10] = content[content.find(b"PK\3\4") + 8] = 99


def _broken_header(content: bytearray) -> None:
    at = content.find(b"'descr'")
    content[at : at + 7] = b"((((\n  "


@pytest.mark.parametrize("damage", [_encrypted, _other_method, _broken_header, None])
def test_what_cannot_be_unpacked_or_has_no_rows(
    tmp_path: Path, settings: Make, damage: Callable[[bytearray], None] | None
) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, train_images=np.zeros((2, 4, 4), np.uint8) if damage else np.uint8(3))
    if damage:
        content = bytearray(path.read_bytes())
        damage(content)
        path.write_bytes(content)
    (row,) = list_tree(tmp_path, dims=2).to_dict("records")
    assert row["path"] == "a.npz"
    assert row["problem"].startswith("not a MedMNIST file (")
    with pytest.raises(SettingsError, match="not a MedMNIST file"):
        list_npz(settings("medmnist"), path)


def test_the_most_that_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = archive(tmp_path, 6, 5)
    monkeypatch.setattr(medmnist, "MAX_UNPACKED", 240)
    with pytest.raises(UnreadableScan, match="ValueError"):
        list_rows(path)
    monkeypatch.setattr(medmnist, "MAX_UNPACKED", 500)
    assert len(list_rows(path)) == 12


@pytest.mark.parametrize(
    ("changes", "options", "reason"),
    [
        (
            {"train_labels": np.array([[0], [2], [1], [0]])},
            {"labels": ["one", "two"]},
            r"train/1: class 2 has no name.*one, two",
        ),
        ({}, {"dims": 3}, r"Set data\.dims=2"),
        ({"val_labels": np.zeros((3, 1), int)}, {}, "do not fit"),
        ({"val_labels": np.zeros((4, 14), int)}, {}, "14 labels a scan"),
    ],
)
def test_refused_files(
    tmp_path: Path, settings: Make, changes: dict[str, object], options: dict[str, object], reason: str
) -> None:
    with pytest.raises(SettingsError, match=reason):
        list_npz(settings("medmnist", **options), archive(tmp_path, 6, 5, **changes))


def test_damaged_and_ambiguous_roots(tmp_path: Path, settings: Make) -> None:
    with pytest.raises(SettingsError, match=r"0 \.npz files: none"):
        list_npz(settings("medmnist"), tmp_path)
    whole = archive(tmp_path, 6, 5).read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SettingsError, match="not a MedMNIST file"):
        list_npz(settings("medmnist"), tmp_path / "cut.npz")
    with pytest.raises(SettingsError, match=r"2 \.npz files"):
        list_npz(settings("medmnist"), tmp_path)
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    with pytest.raises(SettingsError, match=r"only: x\.npy"):
        list_npz(settings("medmnist"), tmp_path / "other.npz")


def test_official_counts(shared_data: Path, settings: Make) -> None:
    root = shared_data / "medmnist" / "pneumoniamnist.npz"
    listing = list_npz(settings("medmnist", labels=["normal", "pneumonia"]), root)
    assert listing["split"].value_counts().to_dict() == {"train": 4708, "val": 524, "test": 624}
    assert listing[listing["split"] == "test"]["label"].value_counts().to_dict() == {
        "pneumonia": 390,
        "normal": 234,
    }

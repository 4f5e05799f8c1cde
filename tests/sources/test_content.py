"""Each kind of reference leads to its pixels, and each wrong one to a reason."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scanlens.errors import SettingsError, UnreadableScan
from scanlens.privacy.aliases import record_aliases
from scanlens.privacy.pseudonym import load_key
from scanlens.sources.content import problem_of
from scanlens.sources.listing.tree import list_tree
from scanlens.sources.read import content_sha256, read_scan
from tests.helpers.dicom import dataset, save
from tests.sources.readers.test_series_index import write_series


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """One folder of one series, one of two, both in archives, a file of several frames, and an image."""
    root = tmp_path / "root"
    write_series(root / "one", 1)
    write_series(root / "two", 1)
    write_series(root / "two", 2)
    (root / "none").mkdir()
    frames = np.arange(3 * 4 * 5, dtype=np.uint16).reshape(3, 4, 5)
    save(root, dataset(frames), "frames.dcm")
    Image.fromarray(np.arange(20, dtype=np.uint8).reshape(4, 5)).save(root / "image.png")
    for name in ("one", "two"):
        with zipfile.ZipFile(root / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted((root / name).iterdir()):
                archive.write(path, f"study/{path.name}")
            archive.write(root / "frames.dcm", "frames.dcm")
            archive.writestr(
                "nested.zip", (root / "one.zip").read_bytes() if name == "two" else b"PK\x03\x04"
            )
    with zipfile.ZipFile(root / "single.zip", "w") as archive:
        archive.write(root / "image.png", "deep/image.png")
    return root


def read(root: Path, reference: str, dims: int) -> np.ndarray:
    return read_scan(root, reference, dims=dims, max_pixels=10_000).pixels


def test_volumes(root: Path) -> None:
    tree = list_tree(root, dims=3)["path"].tolist()
    series = [path for path in tree if "series" in path]
    assert [path for path in tree if path not in series] == [
        *("frames.dcm", "image.png", "one", "one.zip", "one.zip#member/frames.dcm"),
        *("one.zip#member/nested.zip", "single.zip#member/deep/image.png"),
        *("two.zip#member/frames.dcm", "two.zip#member/nested.zip"),
    ]
    assert len(series) == 4
    expected = np.repeat([100, 101, 102], 36).reshape(1, 3, 6, 6)
    for reference in ("one", "one.zip"):
        np.testing.assert_array_equal(read(root, reference, 3), expected)
    found = {int(read(root, reference, 3).min()): reference for reference in series}
    assert found.keys() == {100, 200}
    of_zips = [path for path in series if path.startswith("two.zip")]
    for reference in of_zips:
        np.testing.assert_array_equal(read(root, reference, 3), read(root, reference.replace(".zip", ""), 3))
    np.testing.assert_array_equal(read(root, "one.zip#member/frames.dcm", 3), read(root, "frames.dcm", 3))


def test_images(root: Path) -> None:
    frames = np.arange(3 * 4 * 5).reshape(3, 1, 4, 5)
    for number in range(3):
        for reference in ("frames.dcm", "one.zip#member/frames.dcm"):
            np.testing.assert_array_equal(read(root, f"{reference}#frame/{number}", 2), frames[number])
    for reference in ("image.png", "single.zip", "single.zip#member/deep/image.png"):
        np.testing.assert_array_equal(read(root, reference, 2)[0], np.arange(20).reshape(4, 5))


def test_content_counts_not_its_place_name_or_order(root: Path) -> None:
    def content(reference: str) -> str:
        return content_sha256(root, reference)

    image = hashlib.sha256((root / "image.png").read_bytes()).hexdigest()
    assert (
        content("image.png") == content("single.zip") == content("single.zip#member/deep/image.png") == image
    )
    before = content("one")
    assert before == content("one.zip")
    (root / "one" / "1-0").rename(root / "one" / "z")
    assert content("one") == before
    assert len({content(f"frames.dcm#frame/{number}") for number in range(3)} | {content("frames.dcm")}) == 4
    stored = (root / "one" / "1-1").read_bytes()
    (root / "one" / "1-1").write_bytes(stored[:-1] + b"\x01")
    assert content("one") != before


@pytest.mark.parametrize(
    ("reference", "dims", "reason"),
    [
        ("one", 2, "series of slices is a volume"),
        ("one.zip", 2, "series of slices is a volume"),
        ("two", 3, "a folder of 2 series: name one"),
        ("two.zip", 3, "an archive of 8 files and 2 series: name one"),
        ("none", 3, "a folder without a DICOM series"),
        ("two#series/000000000000", 3, "no such series in the folder"),
        ("two.zip#series/000000000000", 3, "no such series in the archive"),
        ("one#member/a", 3, "a folder, not a file"),
        ("one#frame/0", 2, "a folder, not a file"),
        ("single.zip#member/image.png", 2, "no such file in the archive"),
        ("image.png#member/a", 2, "a damaged zip archive"),
        ("image.png#frame/0", 2, "only DICOM files have numbered frames"),
        ("frames.dcm#frame/3", 2, "frame"),
        ("frames.dcm#frame/0", 3, "one frame is an image"),
        ("two.zip#member/nested.zip", 2, "an archive, not an image"),
        ("../root/image.png", 2, ""),
        ("../x.zip#member/a", 2, "outside the data root"),
        ("absent.zip#member/a", 2, "file not found"),
    ],
)
def test_reasons(root: Path, reference: str, dims: int, reason: str) -> None:
    if not reason:
        read(root, reference, dims)
        return
    with pytest.raises(UnreadableScan, match=reason) as refused:
        read(root, reference, dims)
    assert refused.value.path == reference
    assert str(root) not in refused.value.reason


@pytest.mark.parametrize(
    ("reference", "dims", "problem"),
    [
        ("one", 3, ""),
        ("one", 2, "a folder, not a file"),
        ("two#series/000000000000", 2, "a series of slices is a volume: set data.dims=3"),
        ("single.zip#member/deep/image.png", 2, ""),
        ("single.zip#member/x", 2, "there is no such file in the archive"),
        ("frames.dcm#frame/0", 2, ""),
        ("frames.dcm#frame/0", 3, "one frame is an image, not a volume: set data.dims=2"),
    ],
)
def test_problems_are_seen_without_reading(root: Path, reference: str, dims: int, problem: str) -> None:
    assert problem_of(root, reference, dims=dims) == problem


def test_aliases_are_all_that_reasons_show(root: Path) -> None:
    references = ["one", "two", "image.png", "Doe^Jane.png", "single.zip#member/deep/image.png"]
    alias = record_aliases(references, load_key())
    np.testing.assert_array_equal(read(root, alias["one"], 3), read(root, "one", 3))
    np.testing.assert_array_equal(read(root, alias[references[4]], 2), read(root, "image.png", 2))
    assert content_sha256(root, alias["image.png"]) == content_sha256(root, "image.png")
    for reference, dims in (("Doe^Jane.png", 2), ("two", 3), ("one", 2)):
        with pytest.raises(UnreadableScan) as refused:
            read(root, alias[reference], dims)
        assert refused.value.path == alias[reference]
        assert reference not in str(refused.value)


def test_a_missing_book_stops_the_run(root: Path) -> None:
    for ask in (content_sha256, problem_of):
        with pytest.raises(SettingsError, match="its book"):
            ask(root, "@0123456789abcdef.png")
    with pytest.raises(SettingsError, match="its book"):
        read(root, "@0123456789abcdef.png", 2)

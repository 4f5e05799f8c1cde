"""Masks arrive in the store's geometry, and only where they fit their scan."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from scanlens.atomic import write_json
from scanlens.errors import UnreadableScan
from scanlens.maps.masks import mask_reader
from scanlens.pictures.overlays import make_picture
from scanlens.preprocess.preprocessor import Preprocessor
from scanlens.preprocess.store import Store, StoreWriter
from scanlens.sources.read import read_scan

SHAPE = (40, 20)


def write_mask(path: Path, mask: np.ndarray) -> None:
    path.write_bytes(cv2.imencode(".png", mask.astype(np.uint8) * 255)[1].tobytes())


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Three scans of 40 x 20 in a store of 16 x 16: with a mask, without one, with one that is missing."""
    index = pd.DataFrame(
        {
            "scan_id": ["with", "without", "missing"],
            "label": "a",
            "split": "test",
            "patient": "p",
            "site": "",
            "path": "",
            "mask": ["mask.png", "", "absent.png"],
            "modality": "OT",
            "shape": [list(SHAPE)] * 3,
            "spacing": [[], [], [1.0, 1.0]],
        }
    )
    with StoreWriter(tmp_path, (1, 16, 16), ["a"], 8) as writer:
        for _ in range(3):
            writer.append(np.zeros((1, 16, 16), np.float32))
        writer.close(index)
    preprocessor = Preprocessor((16, 16), 1, "pad", "minmax", (0, 100), None, 2)
    write_json(tmp_path / "preprocessor.json", preprocessor.to_json())
    mask = np.zeros(SHAPE, bool)
    mask[:20, :10] = True
    write_mask(tmp_path / "mask.png", mask)
    return Store.open(tmp_path)


def test_a_mask_lies_where_the_scans_pixels_went(store: Store, tmp_path: Path) -> None:
    mask = mask_reader(store, tmp_path, tmp_path)("with")
    assert mask is not None
    assert mask.dtype == bool
    # 40 x 20 fits into 16 x 16 as 16 x 8 between four empty columns: its upper left quarter is 8 x 4.
    expected = np.zeros((16, 16), bool)
    expected[:8, 4:8] = True
    assert np.array_equal(mask, expected)


def test_several_masks_are_united(store: Store, tmp_path: Path) -> None:
    other = np.zeros(SHAPE, bool)
    other[30:, 10:] = True
    write_mask(tmp_path / "second.png", other)
    store.index.loc[store.index["scan_id"] == "with", "mask"] = "mask.png|second.png"
    both = mask_reader(store, tmp_path, tmp_path)("with")
    expected = np.zeros((16, 16), bool)
    expected[:8, 4:8] = True
    expected[12:, 8:12] = True
    assert np.array_equal(both, expected)


def test_a_scan_without_mask(store: Store, tmp_path: Path) -> None:
    assert mask_reader(store, tmp_path, tmp_path)("without") is None


def test_a_mask_that_cannot_be_read_is_named_and_left_out(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert mask_reader(store, tmp_path, tmp_path)("missing") is None
    assert "absent.png" in capsys.readouterr().err


def test_a_mask_of_another_shape_is_refused(store: Store, tmp_path: Path) -> None:
    write_mask(tmp_path / "mask.png", np.ones((20, 40), bool))
    with pytest.raises(UnreadableScan, match=r"mask\.png: mask of shape \(20, 40\).*\(40, 20\)"):
        mask_reader(store, tmp_path, tmp_path)("with")


def test_scan_mask_map_and_overlay_agree_on_a_planted_dot(store: Store, tmp_path: Path) -> None:
    """Cropped to the body and enlarged: the lesion is the brightest cell of all four."""
    pixels = np.full(SHAPE, 10, np.uint8)
    pixels[12:36, 4:16] = 120
    pixels[28:32, 11:14] = 250
    dot = pixels == 250
    (tmp_path / "scan.png").write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    write_mask(tmp_path / "mask.png", dot)
    store.index["path"] = "scan.png"
    cropped = Preprocessor((48, 48), 1, "pad", "auto", (0, 100), None, 2, None, "foreground")
    write_json(tmp_path / "preprocessor.json", cropped.to_json())
    mask = mask_reader(store, tmp_path, tmp_path)("with")
    assert mask is not None
    scan = read_scan(tmp_path, "scan.png", dims=2, max_pixels=1 << 20)
    image = cropped.apply(scan)
    assert mask.sum() > 2.5 * dot.sum(), "the crop is enlarged, as the body fills little of the scan"
    assert image[0][mask].min() > 0.6
    assert image[0][~mask].mean() < 0.4
    assert mask[np.unravel_index(image[0].argmax(), mask.shape)]
    # A map that is high in the grid's cell which holds the lesion, drawn over the scan.
    grid = mask.reshape(6, 8, 6, 8).mean(axis=(1, 3))
    picture = make_picture(image, (grid == grid.max()).astype(np.float32), mask, 96)
    assert picture.outline is not None
    hottest = np.argwhere(picture.indices == picture.indices.max()).mean(axis=0)
    lesion = np.argwhere(picture.outline).mean(axis=0)
    brightest = np.argwhere(picture.scan == picture.scan.max())[:, :2].mean(axis=0)
    assert np.abs(hottest - lesion).max() <= 96 / 6 / 2 + 2
    assert np.abs(brightest - lesion).max() <= 2


def test_a_scan_that_cannot_be_read_again_goes_without_its_mask(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store.index["path"] = "gone.png"
    cropped = Preprocessor((16, 16), 1, "pad", "auto", (0, 100), None, 2, None, "foreground")
    write_json(tmp_path / "preprocessor.json", cropped.to_json())
    assert mask_reader(store, tmp_path, tmp_path)("with") is None
    assert "gone.png" in capsys.readouterr().err

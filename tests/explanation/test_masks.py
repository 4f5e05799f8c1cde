"""Masks arrive in the store's geometry, and only where they fit their scan."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from scanlens.atomic import write_json
from scanlens.errors import UnreadableScan
from scanlens.explanation.masks import mask_reader
from scanlens.preprocess.preprocessor import Preprocessor
from scanlens.preprocess.store import Store, StoreWriter

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

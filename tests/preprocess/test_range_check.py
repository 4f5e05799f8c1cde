"""Scans of which a network would see next to nothing are told, others are not."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from scanlens.preprocess.range_check import PICTURE, range_warnings
from scanlens.preprocess.store import Store, StoreWriter
from scanlens.types import ImageArray

NOISE = np.random.default_rng(0).uniform(0, 1, (1, 32, 32)).astype(np.float32)
FAN = np.where(np.arange(32) < 24, 0, NOISE).astype(np.float32)
MARKED = (0.02 * NOISE).copy()
MARKED[0, 0, 0] = 1


def store_of(folder: Path, images: list[ImageArray]) -> Store:
    names = [f"{number}.png" for number in range(len(images))]
    index = pd.DataFrame({"scan_id": names, "path": names}).assign(
        patient="p", label="a", split="train", site=""
    )
    with StoreWriter(folder, images[0].shape, ["a"], 4) as writer:
        for image in images:
            writer.append(image)
        writer.close(index)
    return Store.open(folder)


@pytest.mark.parametrize(
    ("image", "told"),
    [
        (NOISE, ""),
        (FAN, ""),
        ((NOISE > 0.9).astype(np.float32), ""),
        (NOISE * 0.04, "less than 5%"),
        (0.5 + NOISE * 0.04, "less than 5%"),
        (MARKED, "less than 5%"),
        (np.clip(NOISE + 0.6, 0, 1), "black or white"),
        (np.full_like(NOISE, 1.0), "less than 5%"),
    ],
    ids=["all", "fan", "binary", "dark", "grey", "one in a thousand", "white", "blank"],
)
def test_scans_with_hardly_any_grey_values_are_told(tmp_path: Path, image: ImageArray, told: str) -> None:
    store = store_of(tmp_path / "s", [NOISE, image, NOISE])
    found = range_warnings(store)
    assert len(found) == bool(told)
    assert (store.folder / PICTURE).exists() == bool(told)
    if told:
        assert told in found[0]
        assert "1 of 3 scans" in found[0]
        assert "e.g. 1.png" in found[0]
        assert PICTURE in found[0]


def test_the_picture_shows_them_as_they_are(tmp_path: Path) -> None:
    store = store_of(tmp_path / "s", [NOISE, *[NOISE * 0.04] * 30, np.clip(NOISE + 0.6, 0, 1)])
    assert len(range_warnings(store)) == 2
    sheet = cv2.imread(str(store.folder / PICTURE), cv2.IMREAD_GRAYSCALE)
    assert sheet is not None
    assert sheet.shape == (384, 512)
    assert sheet[:126, :126].max() <= 10
    assert sheet[256:382, :126].mean() > 200
    assert sheet[300, 300] == 128


def test_volumes(tmp_path: Path) -> None:
    store = store_of(tmp_path / "s", [np.broadcast_to(NOISE * 0.04, (1, 4, 32, 32)).astype(np.float32)])
    assert len(range_warnings(store)) == 1

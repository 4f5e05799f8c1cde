"""The legend's colours are those of the overlays, and its squares have the lengths they are said to have."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from scanlens.pictures.legend import BUILT, CELL, LEGEND_GREYS, SEEN, Legend, legend_png
from scanlens.pictures.overlays import ALPHAS, COLOURS, make_picture

LEGEND = Legend(size=(128, 96), grid=(8, 6), effective=40.0, theoretical=70, threshold=0.6, side=256)
VOLUME = Legend(size=(32, 64, 64), grid=(4, 8, 8), effective=20.0, theoretical=None, threshold=None, side=320)


def pixels(legend: Legend) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(legend_png(legend))).convert("RGB"))


def extent(picture: np.ndarray, colour: tuple[int, int, int], legend: Legend) -> tuple[int, int]:
    """Height and width of what has a colour within the empty frame."""
    height, width = legend.picture
    bottom = picture.shape[0] - 14 - 4 * 18 - 14
    frame = picture[bottom - height : bottom, 14 : 14 + width]
    rows, columns = np.where((frame == colour).all(-1))
    return int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1


def test_the_squares_have_the_overlays_scale() -> None:
    picture = pixels(LEGEND)
    assert LEGEND.picture == (256, 192)
    assert extent(picture, CELL, LEGEND) == (32, 32)
    assert extent(picture, SEEN, LEGEND) == (80, 80)
    assert extent(picture, BUILT, LEGEND) == (140, 140)


def test_its_frame_is_an_overlays_size() -> None:
    image, values = np.zeros((1, 128, 96), np.float32), np.zeros((8, 6), np.float32)
    assert make_picture(image, values, None, 256).scan.shape[:2] == LEGEND.picture


def test_a_place_of_another_shape_than_a_square() -> None:
    long = replace(LEGEND, grid=(4, 12))
    assert extent(pixels(long), CELL, long) == (64, 16)


def test_volumes_show_the_plane_of_their_slices() -> None:
    picture = pixels(VOLUME)
    assert VOLUME.picture == (320, 320)
    assert extent(picture, CELL, VOLUME) == (40, 40)
    assert extent(picture, SEEN, VOLUME) == (100, 100)
    texts = [text for text, _ in VOLUME.notes()]
    assert texts[0] == "one cell of the map: 8 x 8 x 8 of a scan's 32 x 64 x 64 pixels"
    assert "any size" in texts[2]


@pytest.mark.parametrize("probability", [0.0, 0.3, 0.62, 1.0])
def test_the_colours_are_those_of_the_overlays(probability: float) -> None:
    picture = pixels(replace(LEGEND, threshold=None))[:, 14:-14]
    inner = picture.shape[1]
    index = round(255 * probability)
    for band, grey in enumerate(LEGEND_GREYS):
        found = picture[14 + 18 + band * 14 + 7, round(probability * (inner - 1))].astype(float)
        expected = grey * (1 - ALPHAS[index]) + COLOURS[index] * ALPHAS[index]
        assert np.abs(found - expected).max() <= 2


def test_a_field_larger_than_the_scan_is_cut_off() -> None:
    wide = replace(LEGEND, effective=120.0, theoretical=4000)
    picture = pixels(wide)
    assert picture.shape == pixels(LEGEND).shape
    assert extent(picture, SEEN, wide)[1] <= 192


@pytest.mark.parametrize(
    "change",
    [
        {"size": (64, 96)}, {"grid": (4, 6)}, {"effective": 20.0}, {"theoretical": None},
        {"theoretical": 90}, {"threshold": 0.4}, {"threshold": None}, {"side": 200},
    ],
)  # fmt: skip
def test_everything_it_is_told_changes_it(change: dict) -> None:
    assert legend_png(replace(LEGEND, **change)) != legend_png(LEGEND)


def test_the_same_legend_gives_the_same_bytes() -> None:
    assert legend_png(LEGEND) == legend_png(replace(LEGEND))

"""Pictures: colours mean what the legend says."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from scanlens.pictures.diverging import HIGH, LOW
from scanlens.pictures.overlays import COLOURS, MAX_ALPHA, OUTLINE
from scanlens.pictures.panels import (
    FEW_BEYOND,
    FIXED,
    LARGEST,
    LEAST_WIDTH,
    LINE,
    Scale,
    panel,
    png,
    row,
    scale_of,
    sheet,
    tile,
)

IMAGE = np.full((1, 40, 40), 0.5, np.float32)


def test_the_scale_goes_by_the_sign_and_the_values() -> None:
    maps = np.array([[-1.0, 0.5], [2.0, 0.0]], np.float32)
    assert scale_of(maps, "logit") == Scale(2.0, True, "logit", LARGEST)
    assert scale_of(maps.clip(0), "logit") == Scale(2.0, False, "logit", LARGEST)
    assert scale_of(maps, "logit", 5.0) == Scale(5.0, True, "logit", FIXED)
    assert scale_of(np.zeros((2, 2), np.float32), "logit").reach == 1.0
    few = np.zeros(1000, np.float32)
    few[:20] = np.arange(20) / 100
    few[0] = -50
    assert scale_of(few, "logit", note=FEW_BEYOND).reach == pytest.approx(0.15, abs=0.01)
    alone = np.zeros(1000, np.float32)
    alone[0] = 3
    assert scale_of(alone, "logit", note=FEW_BEYOND).reach == 3


def test_ends_and_shares() -> None:
    signed = Scale(2.0, True, "y", FIXED, centre=10.0)
    assert signed.ends == (8.0, 12.0)
    np.testing.assert_allclose(signed.share(np.array([7.0, 8.0, 10.0, 12.0, 20.0])), [0, 0, 0.5, 1, 1])
    assert Scale(4.0, False, "y", FIXED).ends == (0.0, 4.0)


def mixed(colour, grey: int = 128) -> np.ndarray:
    return np.rint(grey * (1 - MAX_ALPHA) + np.asarray(colour, np.float64) * MAX_ALPHA)


def test_colours_of_a_signed_panel() -> None:
    values = np.zeros((4, 4), np.float32)
    values[0, 0], values[-1, -1] = -2, 2
    body = panel(IMAGE, values, scale_of(values, "logit"), "title", 40).astype(int)
    assert body.shape == (40 + 2 * LINE + 4, LEAST_WIDTH, 3)
    assert np.abs(body[1, 1] - mixed(LOW)).max() <= 1
    assert np.abs(body[38, 38] - mixed(HIGH)).max() <= 1
    assert np.abs(body[20, 20] - 128).max() <= 1


def test_colours_of_an_unsigned_panel_do_not_go_by_the_image_where_the_scale_is_fixed() -> None:
    values = np.full((4, 4), 0.5, np.float32)
    fixed = panel(IMAGE, values, Scale(1.0, False, "probability", FIXED), "title", 40).astype(int)
    own = panel(IMAGE, values, scale_of(values, "probability"), "title", 40).astype(int)
    half = np.rint(128 * (1 - MAX_ALPHA / 2) + COLOURS[128].astype(float) * MAX_ALPHA / 2)
    assert np.abs(fixed[20, 20] - half).max() <= 2
    assert np.abs(own[20, 20] - mixed(COLOURS[255])).max() <= 1


def test_the_legend_says_whose_scale_it_is() -> None:
    values = np.ones((4, 4), np.float32)
    pictures = [
        panel(IMAGE, values, Scale(reach, False, "logit", note), title, 40)[40:]
        for reach, note, title in [
            (1, FIXED, "a"),
            (1, LARGEST, "a"),
            (2, FIXED, "a"),
            (1, FIXED, "b"),
        ]
    ]
    for number, other in enumerate(pictures[1:], start=1):
        assert not np.array_equal(pictures[0], other), number


def test_of_a_volume_the_slice_farthest_from_clear_is_shown() -> None:
    volume = np.stack([np.full((20, 20), level, np.float32) for level in (0.0, 0.2, 0.4)])[None]
    values = np.zeros((3, 5, 5), np.float32)
    values[0, 0, 0], values[1, 2, 2] = 1.0, -3.0
    body = panel(volume, values, scale_of(values, "logit"), "title", 20)
    assert abs(int(body[2, 17, 0]) - 51) <= 1


def test_boxes_are_outlined_where_they_are() -> None:
    values = np.zeros((4, 4), np.float32)
    scale = Scale(1.0, False, "probability", FIXED)
    box = (slice(10, 20), slice(5, 30))
    body = panel(IMAGE, values, scale, "title", 80, [box])
    drawn = (body[:80, :80] == OUTLINE).all(-1)
    rows, columns = np.flatnonzero(drawn.any(1)), np.flatnonzero(drawn.any(0))
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (20, 39, 10, 59)
    volume = np.zeros((1, 3, 40, 40), np.float32)
    deep = np.zeros((3, 4, 4), np.float32)
    deep[1, 0, 0] = 1
    for depth, seen in ((slice(0, 1), False), (slice(0, 2), True)):
        drawn = panel(volume, deep, scale, "title", 80, [(depth, *box)])[:80, :80]
        assert (drawn == OUTLINE).all(-1).any() == seen


def test_panels_stand_side_by_side() -> None:
    one = np.zeros((5, 7, 3), np.uint8)
    assert row([one]).shape == (5, 7, 3)
    assert row([one, one + 9]).shape == (5, 18, 3)


@pytest.mark.parametrize("count", [1, 2, 7, 30])
def test_a_sheet_holds_every_tile(count: int) -> None:
    tiles = [np.full((10, 12, 3), 50 + number, np.uint8) for number in range(count)]
    body = sheet(tiles, [str(number) for number in range(count)], "title", None)
    levels = {level for level, many in zip(*np.unique(body, return_counts=True), strict=True) if many >= 360}
    assert set(range(50, 50 + count)) <= levels


def test_tiles_keep_their_proportions_and_their_pixels() -> None:
    small = np.array([[0, 255], [100, 50]], np.uint8)
    large = tile(small, 8)
    assert large.shape == (8, 8, 3)
    assert sorted(np.unique(large)) == [0, 50, 100, 255]
    assert tile(np.zeros((40, 20), np.uint8), 10).shape == (10, 5, 3)


def test_a_png_reads_back() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (6, 5, 3), np.uint8)
    back = cv2.imdecode(np.frombuffer(png(pixels), np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(back[..., ::-1], pixels)

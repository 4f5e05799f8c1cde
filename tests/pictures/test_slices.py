from __future__ import annotations

import io
import re

import cv2
import numpy as np
import pytest
from PIL import Image

from scanlens.pictures import slices
from scanlens.pictures.overlays import OUTLINE


def staircase(depth: int, side: int = 12) -> np.ndarray:
    """A volume whose slice k is k / depth everywhere."""
    return np.broadcast_to(
        (np.arange(depth, dtype=np.float32) / depth)[None, :, None, None], (1, depth, side, side)
    )


@pytest.mark.parametrize("depth", [1, 2, 48, slices.MAX_SLICES, slices.MAX_SLICES + 1, 500])
def test_shown_slices_are_spread_from_first_to_last(depth: int) -> None:
    shown = slices.spread(depth)
    assert shown == sorted(set(shown))
    assert (shown[0], shown[-1]) == (0, depth - 1)
    assert len(shown) == min(depth, slices.MAX_SLICES)
    assert max(np.diff(shown), default=0) <= np.ceil(depth / slices.MAX_SLICES)


@pytest.mark.parametrize("depth", [1, 5, 80])
def test_a_sheet_holds_every_shown_slice_in_reading_order(depth: int) -> None:
    sheet = np.asarray(Image.open(io.BytesIO(slices.sheet_png(staircase(depth), 100))))
    shown = slices.spread(depth)
    across = slices.columns(len(shown))
    for cell, number in enumerate(shown):
        top, left = 12 * (cell // across), 12 * (cell % across)
        assert (sheet[top : top + 12, left : left + 12] == round(255 * number / depth)).all()


def test_a_sheet_is_never_enlarged_and_no_larger_than_asked_for() -> None:
    small, large = (Image.open(io.BytesIO(slices.sheet_png(staircase(4, 60), side))) for side in (30, 300))
    assert small.size == (60, 60)
    assert large.size == (120, 120)


def test_an_animation_moves_through_the_slices_with_their_map_and_lesion() -> None:
    values = np.zeros((5, 2, 2), np.float32)
    values[4] = 1
    mask = np.zeros((5, 48, 48), bool)
    mask[2, 12:36, 12:36] = True
    data = slices.animation(staircase(5, 48) * 0.5, values, mask, 48)
    movie = Image.open(io.BytesIO(data))
    assert movie.n_frames == 5
    assert movie.info["loop"] == 0
    frames = []
    for number in range(5):
        movie.seek(number)
        frames.append(np.asarray(movie.convert("RGB")).astype(int))
    assert np.ptp(frames[0][24, 24]) < 12, "no map, no colour"
    red, _, blue = frames[4][24, 24]
    assert red > blue + 60, "probability 1 is yellow"
    edge = frames[2][12:36, 12].mean(axis=0)
    assert np.abs(edge - OUTLINE).max() < 90
    assert edge[1] > frames[1][12:36, 12].mean(axis=0)[1] + 60


def test_outlines_follow_the_mask_slice_by_slice() -> None:
    mask = np.zeros((6, 40, 50), bool)
    mask[3] = (np.add.outer((np.arange(40) - 20) ** 2, (np.arange(50) - 30) ** 2)) < 100
    mask[4, 5, 7] = True
    paths = slices.outlines(mask, volume=True)
    assert sorted(paths) == [3, 4]
    filled = np.zeros((400, 500), np.uint8)
    corners = np.array(re.findall(r"([\d.]+) ([\d.]+)", paths[3]), float)
    cv2.fillPoly(filled, [np.rint(corners * 10).astype(np.int32)], 1)
    whole = mask[3].repeat(10, 0).repeat(10, 1)
    union = (filled.astype(bool) | whole).sum()
    assert (filled.astype(bool) & whole).sum() / union > 0.9
    single = np.array(re.findall(r"([\d.]+) ([\d.]+)", paths[4]), float)
    assert np.ptp(single, axis=0).min() > 0, "a lesion of one pixel has an outline that can be seen"
    assert np.abs(single.mean(axis=0) - [7.5, 5.5]).max() < 0.01


def test_no_lesion_no_outline() -> None:
    assert slices.outlines(None, volume=False) == {}
    assert slices.outlines(np.zeros((4, 4), bool), volume=False) == {}
    assert list(slices.outlines(np.ones((4, 4), bool), volume=False)) == [0]

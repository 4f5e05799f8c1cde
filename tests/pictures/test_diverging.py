"""Colours of a number: one scale around the mean of the training labels, whatever the scan."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from scanlens.pictures.diverging import (
    HIGH,
    LOW,
    REACH_OF_SCALE,
    SCALE_HEIGHT,
    blend_diverging,
    number_picture,
    number_png,
    scaled,
)
from scanlens.pictures.overlays import MAX_ALPHA, OUTLINE, Picture

CENTRE, SPREAD = 60.0, 10.0


def picture(height: int = 40, width: int = 200, **changes: object) -> Picture:
    rng = np.random.default_rng(0)
    default = {
        "scan": rng.integers(0, 256, (height, width), np.uint8),
        "indices": rng.integers(0, 256, (height, width), np.uint8),
        "outline": None, "slice": None, "cells": 4,
    }  # fmt: skip
    return Picture(**{**default, **changes})  # type: ignore[arg-type]


def pixels(drawn: Picture, caption: str = "", centre: float = CENTRE) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(number_png(drawn, caption, centre, SPREAD))).convert("RGB"))


def test_the_scale_runs_between_its_ends_and_stops_there() -> None:
    values = np.random.default_rng(0).normal(CENTRE, 4 * SPREAD, (5, 6, 7))
    low, high = CENTRE - REACH_OF_SCALE * SPREAD, CENTRE + REACH_OF_SCALE * SPREAD
    found = scaled(values, CENTRE, SPREAD)
    np.testing.assert_allclose(found, np.interp(values, [low, high], [0, 1]), atol=1e-12)
    assert (found.min(), found.max()) == (0, 1)
    assert scaled(np.array([low, CENTRE, high]), CENTRE, SPREAD).tolist() == [0, 0.5, 1]


def test_every_colour_over_every_grey_is_mixed_as_by_hand() -> None:
    indices, grey = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(0, 256, 15, dtype=np.uint8))
    found = blend_diverging(grey, indices).astype(int)
    for at in np.ndindex(grey.shape):
        far = 2 * int(indices[at]) / 255 - 1
        alpha = abs(far) * MAX_ALPHA
        end = LOW if far < 0 else HIGH
        by_hand = [int(grey[at]) * (1 - alpha) + colour * alpha for colour in end]
        assert found[at] == pytest.approx(by_hand, abs=0.501)


def test_at_the_mean_the_scan_is_left_as_it_is() -> None:
    grey = np.arange(256, dtype=np.uint8)[None]
    for index in (127, 128):
        off = blend_diverging(grey, np.full_like(grey, index)).astype(int) - grey[..., None]
        assert np.abs(off).max() <= 1


@pytest.mark.parametrize("sign", [-1, 1], ids=["below", "above"])
def test_of_a_volume_the_slice_farthest_from_the_mean_is_shown(sign: int) -> None:
    values = np.full((5, 2, 2), CENTRE)
    values[1] -= sign * 8
    values[3, 0, 1] += sign * 20
    volume = np.linspace(0, 1, 5, dtype=np.float32)[None, :, None, None].repeat(6, 2).repeat(6, 3)
    mask = np.zeros((5, 6, 6), bool)
    mask[1] = True
    drawn = number_picture(volume, values, mask, CENTRE, SPREAD, 12)
    assert drawn.slice == 3
    assert (drawn.scan == round(255 * 0.75)).all()
    assert drawn.outline is None, "the lesion lies in another slice"
    assert int(drawn.indices[0, -1]) == pytest.approx(
        255 * (0.5 + sign * 20 / (2 * REACH_OF_SCALE * SPREAD)), abs=0.51
    )


def test_the_picture_is_the_blend_over_the_grey_scan_with_the_lesion_outlined() -> None:
    rng = np.random.default_rng(1)
    outline = np.zeros((40, 200), bool)
    outline[5:9, 10:30] = True
    drawn = picture(scan=rng.integers(0, 256, (40, 200, 3), np.uint8), outline=outline)
    body = pixels(drawn)[:40].astype(int)
    assert (body[outline] == OUTLINE).all()
    grey = drawn.scan @ np.array([0.299, 0.587, 0.114])
    expected = blend_diverging(np.rint(grey).astype(np.uint8), drawn.indices)[~outline]
    assert np.abs(body[~outline] - expected).max() <= 1


def test_the_legend_goes_by_the_scale_alone() -> None:
    first = pixels(picture())
    assert first.shape == (40 + SCALE_HEIGHT, 200, 3)
    other = pixels(picture(scan=np.zeros((40, 200), np.uint8), indices=np.zeros((40, 200), np.uint8)))
    assert np.array_equal(first[40:], other[40:])
    assert not np.array_equal(first[40:], pixels(picture(), centre=70.0)[40:])


def test_a_long_caption_ends_before_the_scale() -> None:
    plain = pixels(picture())[40:]
    short, long = (pixels(picture(), "W" * letters)[40:] for letters in (2, 500))
    changed = [np.flatnonzero((strip != plain).any(axis=(0, 2))) for strip in (short, long)]
    scale = np.flatnonzero(plain.any(axis=(0, 2)))[0]
    assert 0 < changed[0].max() < changed[1].max() < scale


@pytest.mark.parametrize("width", [1, 5, 40])
def test_a_narrow_picture_keeps_its_width(width: int) -> None:
    assert pixels(picture(10, width), "60.1, label 61").shape == (10 + SCALE_HEIGHT, width, 3)

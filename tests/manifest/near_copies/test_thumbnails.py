from __future__ import annotations

import cv2
import numpy as np
import pytest

from scanlens.manifest.near_copies.thumbnails import SIDE, picture, stretched, thumbnail


def ramp(height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    return rows / height + 2 * columns / width


@pytest.mark.parametrize("shape", [(64, 64), (512, 300), (28, 28), (20, 900), (3000, 40)])
def test_a_picture_of_any_shape_becomes_a_full_range_square(shape):
    made = thumbnail(ramp(*shape)[None])
    assert made.shape == (SIDE, SIDE)
    assert made.dtype == np.uint8
    assert made.min() == 0
    assert made.max() == 255
    assert made[0, 0] < made[0, -1]
    assert made[0, 0] < made[-1, 0]


def test_units_and_offset_do_not_matter():
    image = ramp(200, 150)[None]
    difference = thumbnail(image).astype(int) - thumbnail(image * 2000 - 1024)
    assert np.abs(difference).max() <= 1


def test_a_few_extreme_pixels_do_not_darken_the_rest():
    image = ramp(256, 256)
    spoilt = image.copy()
    spoilt[:4, :4] = 1000
    assert np.abs(thumbnail(image[None]).astype(int) - thumbnail(spoilt[None]))[8:].max() <= 8


def test_a_volume_shows_its_middle_slice_and_a_colour_picture_the_mean_of_its_channels():
    volume = np.stack([np.full((8, 8), level, np.float32) for level in range(5)])[None]
    np.testing.assert_array_equal(picture(volume), np.full((8, 8), 2))
    colour = np.stack([np.full((8, 8), level, np.float32) for level in (0, 3, 9)])
    np.testing.assert_array_equal(picture(colour), np.full((8, 8), 4))


def test_shrinking_averages_areas():
    image = np.random.default_rng(0).random((256, 128), np.float32)
    expected = image.reshape(64, 4, 64, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(stretched(image, 64, 64), expected, atol=1e-5)


def test_an_axis_that_shrinks_is_averaged_while_the_other_grows():
    image = np.random.default_rng(0).random((640, 16), np.float32)
    rows = image.reshape(64, 10, 16).mean(axis=1)
    expected = cv2.resize(rows, (64, 64), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(stretched(image, 64, 64), expected, atol=1e-5)


@pytest.mark.parametrize("value", [0.0, -1000.0, np.nan, np.inf])
def test_a_picture_that_shows_nothing_is_all_zeros(value):
    assert not thumbnail(np.full((1, 30, 40), value, np.float32)).any()


def test_one_bright_spot_is_shown():
    image = np.zeros((1, 64, 64), np.float32)
    image[0, 10, 10] = 7
    assert thumbnail(image)[10, 10] == 255

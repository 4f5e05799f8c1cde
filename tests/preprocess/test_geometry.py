"""Resizing against independent implementations; placing against arithmetic."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from scanlens.preprocess.geometry import Placement, centre, fitting, resize
from scanlens.types import ImageArray


def smooth(*shape: int) -> ImageArray:
    """Draw a picture or volume with details of about four pixels."""
    noise = np.random.default_rng(0).random((1, *shape))
    return ndimage.gaussian_filter(noise, (0, *[4] * len(shape))).astype(np.float32) * 20


def coordinates(*shape: int) -> ImageArray:
    """Draw the sum of the pixel centres' relative positions: linear, so resizing keeps it inside."""
    axes = [(np.arange(side) + 0.5) / side for side in shape]
    return sum(np.meshgrid(*axes, indexing="ij"))[np.newaxis].astype(np.float32)  # type: ignore[union-attr, index]


def test_shrinking_by_whole_factors_is_the_mean_of_the_blocks() -> None:
    image = smooth(60, 90)
    expected = image[0].reshape(20, 3, 30, 3).mean(axis=(1, 3))
    assert np.allclose(resize(image, (20, 30))[0], expected, atol=1e-5)
    assert np.allclose(resize(image, (20, 90))[0], image[0].reshape(20, 3, 90).mean(axis=1), atol=1e-5)


@pytest.mark.parametrize("shape", [(37, 53), (40, 31)])
def test_shrinking_is_near_pillows_box_filter(shape: tuple[int, int]) -> None:
    image = smooth(90, 100)
    expected = Image.fromarray(image[0]).resize(shape[::-1], Image.Resampling.BOX)
    assert np.abs(resize(image, shape)[0] - np.asarray(expected)).max() < 0.05 * np.ptp(image)


def test_growing_is_pillows_linear_interpolation() -> None:
    image = smooth(20, 30)
    expected = Image.fromarray(image[0]).resize((75, 41), Image.Resampling.BILINEAR)
    assert np.allclose(resize(image, (41, 75))[0], np.asarray(expected), atol=1e-4)


@pytest.mark.parametrize("shape", [(30, 20), (10, 60), (60, 10), (77, 45)])
def test_positions_are_kept_when_one_axis_shrinks_and_the_other_grows(shape: tuple[int, int]) -> None:
    found = resize(coordinates(40, 40), shape)[0]
    assert np.abs(found - coordinates(*shape)[0])[2:-2, 2:-2].max() < 5e-3


@pytest.mark.parametrize("shape", [(20, 16, 24), (10, 40, 20), (50, 33, 47)])
def test_positions_are_kept_in_volumes(shape: tuple[int, int, int]) -> None:
    found = resize(coordinates(30, 32, 36), shape)
    assert found.shape == (1, *shape)
    assert found.dtype == np.float32
    inner = (slice(4, -4),) * 3
    # A fifth of a voxel of the shortest axis, summed over three axes that don't shrink by whole factors.
    assert np.abs(found[0] - coordinates(*shape)[0])[inner].max() < 0.2 / 30


@pytest.mark.parametrize("shape", [(256, 256), (64, 64, 64)])
def test_fine_stripes_do_not_alias(shape: tuple[int, ...]) -> None:
    stripes = np.zeros((1, *shape), np.float32)
    stripes[..., ::2] = 1
    small = resize(stripes, [side // 4 + 3 for side in shape])
    assert small[..., 2:-2].std() < 0.1


def test_growing_a_volume_is_torchs_trilinear_interpolation() -> None:
    volume = smooth(10, 12, 9)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(volume)[None], size=(20, 17, 30), mode="trilinear", align_corners=False
    )[0].numpy()
    assert np.allclose(resize(volume, (20, 17, 30)), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("spatial", "size", "aspect", "spacing", "expected"),
    [
        ((50, 100), (32, 32), "pad", None, [(8, 24), (0, 32)]),
        ((100, 50), (32, 32), "pad", None, [(0, 32), (8, 24)]),
        ((50, 100), (32, 32), "stretch", None, [(0, 32), (0, 32)]),
        ((50, 100), (32, 32), "pad", (2.0, 1.0), [(0, 32), (0, 32)]),
        ((50, 100), (32, 32), "pad", (1.0, 2.0), [(12, 20), (0, 32)]),
        ((1, 10000), (32, 32), "pad", None, [(15, 16), (0, 32)]),
        ((20, 40, 40), (16, 16, 16), "pad", None, [(4, 12), (0, 16), (0, 16)]),
        ((20, 40, 40), (16, 16, 16), "pad", (2.0, 1.0, 1.0), [(0, 16)] * 3),
        ((50, 50), (16, 32), "pad", None, [(0, 16), (8, 24)]),
    ],
)
def test_fitting(
    spatial: tuple[int, ...],
    size: tuple[int, ...],
    aspect: str,
    spacing: tuple[float, ...] | None,
    expected: list[tuple[int, int]],
) -> None:
    shape = fitting(spatial, size, aspect, spacing)
    found = placed(spatial, shape, size)
    assert [(part.start, part.stop) for part in found.place] == expected
    assert [(part.start, part.stop) for part in found.kept] == [(0, side) for side in shape]


def placed(spatial: tuple[int, ...], shape: tuple[int, ...], size: tuple[int, ...]) -> Placement:
    return centre(tuple(slice(0, side) for side in spatial), shape, size)


def test_padding_is_zero_and_what_is_too_large_loses_its_rim() -> None:
    part = smooth(16, 32) + 1
    grid = placed((50, 100), (16, 32), (33, 20)).pad(part, (33, 20))
    assert grid.shape == (1, 33, 20)
    assert grid.dtype == np.float32
    assert np.array_equal(grid[:, 8:24], part[:, :, 6:26])
    assert not grid[:, :8].any()
    assert not grid[:, 24:].any()
    same = placed((50, 100), (16, 32), (16, 32)).pad(part, (16, 32))
    assert np.array_equal(same, part)


def test_positions_in_the_grid_are_found_again_in_the_scan() -> None:
    """A box of 40 x 20 from (10, 30), halved and doubled, padded along the height, cut along the width."""
    found = centre((slice(10, 50), slice(30, 50)), (20, 40), (30, 30))
    assert found.place == (slice(5, 25), slice(0, 30))
    assert found.kept == (slice(0, 20), slice(5, 35))
    assert found.to_scan((4.5, -5.5)) == pytest.approx((9.5, 29.5)), "corner to corner, by the pixels' edges"
    assert found.to_scan((24.5, 34.5)) == pytest.approx((49.5, 49.5))
    image = coordinates(60, 60)
    grid = found.pad(resize(image[:, 10:50, 30:50], (20, 40)), (30, 30))
    row, column = 12, 17
    there = found.to_scan((row, column))
    assert grid[0, row, column] == pytest.approx(sum((place + 0.5) / 60 for place in there), abs=1e-5)


def test_shrinking_a_volume_by_whole_factors_is_the_mean_of_the_blocks() -> None:
    volume = smooth(12, 20, 30)
    expected = volume[0].reshape(4, 3, 10, 2, 6, 5).mean(axis=(1, 3, 5))
    assert np.allclose(resize(volume, (4, 10, 6))[0], expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(9, 25, 13), (30, 20, 50)])
def test_a_volume_is_resized_along_each_axis_as_an_image(shape: tuple[int, int, int]) -> None:
    """Area averaging and linear interpolation are separable: axis by axis gives the same."""
    volume = smooth(20, 32, 27)
    one = volume
    for axis, side in enumerate(shape):
        flat = np.moveaxis(one[0], axis, 0)
        flat_shape = (side, int(np.prod(flat.shape[1:])))
        again = resize(flat.reshape(1, len(flat), -1).copy(), flat_shape)[0].reshape(side, *flat.shape[1:])
        one = np.moveaxis(again, 0, axis)[np.newaxis]
    assert np.allclose(resize(volume, shape), one, atol=1e-4)


def test_shrinking_is_near_a_gaussian_of_the_pixels_width() -> None:
    """Against scipy: blur by the factor's width, then take every fourth value."""
    noise = np.random.default_rng(4).random((1, 128, 128)).astype(np.float32)
    blurred = ndimage.gaussian_filter(noise[0], 4 / np.sqrt(12), mode="nearest")
    centres = np.arange(32) * 4 + 1.5
    expected = ndimage.map_coordinates(blurred, np.meshgrid(centres, centres, indexing="ij"), order=1)
    found = resize(noise, (32, 32))[0]
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.85
    assert np.corrcoef(noise[0, 1::4, 1::4].ravel(), expected.ravel())[0, 1] < 0.6, "aliasing would show"


def test_channels_are_resized_alike() -> None:
    image = np.concatenate([smooth(40, 40), smooth(40, 40)[:, ::-1], smooth(40, 40)])
    together = cv2.resize(image.transpose(1, 2, 0), (25, 25), interpolation=cv2.INTER_AREA)
    assert np.allclose(resize(image, (25, 25)), together.transpose(2, 0, 1), atol=1e-5)

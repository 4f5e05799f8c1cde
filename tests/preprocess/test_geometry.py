"""Resizing against independent implementations; placing against arithmetic."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from scanlens.preprocess.geometry import fit, placement, resize
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
    assert np.abs(found[0] - coordinates(*shape)[0])[inner].max() < 5e-3


@pytest.mark.parametrize("shape", [(256, 256), (64, 64, 64)])
def test_fine_stripes_do_not_alias(shape: tuple[int, ...]) -> None:
    stripes = np.zeros((1, *shape), np.float32)
    stripes[..., ::2] = 1
    small = resize(stripes, [side // 4 + 3 for side in shape])
    assert small[..., 2:-2].std() < 0.1


def test_growing_a_volume_is_torchs_trilinear_interpolation() -> None:
    torch = pytest.importorskip("torch")
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
def test_placement(
    spatial: tuple[int, ...],
    size: tuple[int, ...],
    aspect: str,
    spacing: tuple[float, ...] | None,
    expected: list[tuple[int, int]],
) -> None:
    found = placement(spatial, size, aspect, spacing)
    assert [(part.start, part.stop) for part in found] == expected


def test_padding_is_zero_and_the_rest_is_the_resized_scan() -> None:
    image = smooth(50, 100) + 1
    fitted = fit(image, (32, 32), "pad")
    assert np.array_equal(fitted[:, 8:24], resize(image, (16, 32)))
    assert not fitted[:, :8].any()
    assert not fitted[:, 24:].any()
    assert fit(image, (32, 32), "stretch").all()


def test_channels_are_resized_alike() -> None:
    image = np.concatenate([smooth(40, 40), smooth(40, 40)[:, ::-1], smooth(40, 40)])
    together = cv2.resize(image.transpose(1, 2, 0), (25, 25), interpolation=cv2.INTER_AREA)
    assert np.allclose(resize(image, (25, 25)), together.transpose(2, 0, 1), atol=1e-5)

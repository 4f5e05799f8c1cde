"""Planted bodies and fans are found, with markers, letters and rulers left out."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from scanlens.preprocess.crop import Crop, crop_box, small_shape, whole_frame
from scanlens.preprocess.geometry import Box, resize
from scanlens.types import ImageArray


def box_of(image: ImageArray, crop: Crop) -> Box:
    spatial = image.shape[1:]
    return crop_box(resize(image, small_shape(spatial)), spatial, crop)


def scan(*shape: int, level: float = 0.03) -> ImageArray:
    noise = np.random.default_rng(0).normal(level, 0.01, shape)
    return np.clip(noise, 0, 1)[np.newaxis].astype(np.float32)


def assert_near(found: Box, expected: list[tuple[int, int]], slack: float) -> None:
    """The box holds what was planted and little more."""
    for part, (start, stop) in zip(found, expected, strict=True):
        assert start - slack <= part.start <= start
        assert stop <= part.stop <= stop + slack


@pytest.mark.parametrize(("shape", "scale"), [((200, 240), 1), ((2000, 2400), 10)])
def test_the_body_is_found_and_a_bright_marker_is_not(shape: tuple[int, int], scale: int) -> None:
    image = scan(*shape)
    image[:, 40 * scale : 170 * scale, 60 * scale : 210 * scale] += 0.4
    image[:, 5 * scale : 15 * scale, 5 * scale : 20 * scale] = 1
    image[:, :scale] = 1
    assert_near(
        box_of(image, "foreground"), [(40 * scale, 170 * scale), (60 * scale, 210 * scale)], 6 * scale
    )


def test_two_parts_of_a_size_are_both_kept() -> None:
    image = scan(200, 200)
    image[:, 50:150, 20:80] = 0.5
    image[:, 60:160, 110:180] = 0.7
    assert_near(box_of(image, "foreground"), [(50, 160), (20, 180)], 5)


def test_a_thin_bright_rim_belongs_to_the_body() -> None:
    """A head: the brain within dark fluid within a thin skin."""
    image = scan(256, 256)
    cv2.circle(image[0], (128, 120), 90, 0.8, 2)
    cv2.circle(image[0], (128, 120), 60, 0.6, -1)
    assert_near(box_of(image, "foreground"), [(30, 211), (38, 219)], 8)


def test_a_body_in_a_volume() -> None:
    image = scan(40, 100, 120)
    image[:, 10:30, 20:80, 30:100] = 0.5
    image[:, 0:2, :4, :4] = 1
    assert_near(box_of(image, "foreground"), [(10, 30), (20, 80), (30, 100)], 5)


def fan(height: int, width: int) -> tuple[ImageArray, list[tuple[int, int]]]:
    """A sector of speckle below a probe, with letters, a ruler, a grey wedge and a line across."""
    rows, columns = np.mgrid[:height, :width]
    down, across = rows - 0.05 * height, columns - 0.5 * width
    angle, radius = np.arctan2(across, down), np.hypot(down, across)
    inside = (np.abs(angle) < 0.6) & (radius > 0.1 * height) & (radius < 0.8 * height)
    speckle = np.random.default_rng(2).rayleigh(0.12, (height, width))
    speckle[(np.abs(angle + 0.1) < 0.08) & (radius > 0.4 * height)] *= 0.2  # a shadow
    image = np.where(inside, np.clip(speckle, 0.01, 1), 0).astype(np.float32)
    unit = height // 100
    text = np.zeros((height, width), np.uint8)
    cv2.putText(text, "LT BREAST 12:00", (unit, 6 * unit), cv2.FONT_HERSHEY_SIMPLEX, height / 800, 255, 2)
    image = np.maximum(image, text.astype(np.float32) / 255)
    image[20 * unit : 70 * unit, 3 * unit : 6 * unit] = np.linspace(1, 0.1, 50 * unit)[:, None]
    image[:: 5 * unit, -2 * unit :] = 1
    image[96 * unit, :] = 0.8
    found = np.argwhere(inside)
    (top, left), (bottom, right) = found.min(0), found.max(0) + 1
    return image[np.newaxis], [(int(top), int(bottom)), (int(left), int(right))]


@pytest.mark.parametrize(("height", "width"), [(300, 400), (900, 1200)])
def test_the_fan_is_found_without_its_annotations(height: int, width: int) -> None:
    image, expected = fan(height, width)
    for part, (start, stop) in zip(box_of(image, "fan"), expected, strict=True):
        assert abs(part.start - start) <= 0.03 * height
        assert abs(part.stop - stop) <= 0.03 * height


def test_dark_speckle_is_fan_but_not_foreground() -> None:
    image = np.zeros((1, 200, 200), np.float32)
    image[:, 20:180, 20:180] = 0.06
    image[:, 80:120, 80:120] = 0.9
    assert_near(box_of(image, "fan"), [(20, 180), (20, 180)], 5)
    assert_near(box_of(image, "foreground"), [(80, 120), (80, 120)], 3)


@pytest.mark.parametrize("crop", ["foreground", "fan"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (3, 3), (40, 40), (5, 9, 7)])
def test_scans_in_which_nothing_stands_out_are_kept_whole(crop: Crop, shape: tuple[int, ...]) -> None:
    for level in (0.0, 0.5, 1.0):
        assert box_of(np.full((1, *shape), level, np.float32), crop) == whole_frame(shape)
    assert all(part.start < part.stop for part in box_of(scan(*shape, level=0.5), crop))


@pytest.mark.parametrize("crop", ["foreground", "fan"])
def test_something_thinner_than_the_opening_is_still_found(crop: Crop) -> None:
    image = np.zeros((1, 100, 100), np.float32)
    image[:, 30:70, 50] = 1
    assert_near(box_of(image, crop), [(30, 70), (50, 51)], 2)

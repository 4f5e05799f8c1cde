"""Alignment finds the map between a scan and its copy; what is left tells copies from other patients."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from scanlens.manifest.near_copies.candidates import Candidate
from scanlens.manifest.near_copies.confirm import Warp, agreement, align, enlarged, start_of
from scanlens.manifest.near_copies.descriptors import SPANS, WINDOWS

LARGE = 128
IDENTITY = np.eye(2, 3, dtype=np.float32)


def scan(seed: int) -> np.ndarray:
    """Alike in the large, unlike in detail; [-0.5, 0.5]."""

    def field(of: int, *widths: int) -> np.ndarray:
        noise = np.random.default_rng(of).normal(size=(LARGE, LARGE))
        return np.asarray(sum(gaussian_filter(noise, width) * width for width in widths))

    picture = 3 * field(0, 16, 24) + field(seed, 2, 3, 5)
    low, high = np.percentile(picture, [0.5, 99.5])
    return np.clip((picture - low) / (high - low) - 0.5, -0.5, 0.5).astype(np.float32)


def seen_through(image: np.ndarray, warp: Warp) -> np.ndarray:
    """The copy whose pixel (x, y) shows the image at ``warp`` (x, y, 1)."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(image, warp, (LARGE, LARGE), flags=flags, borderMode=cv2.BORDER_REFLECT))


def refined(image: np.ndarray, copy: np.ndarray, start: Warp = IDENTITY) -> Warp | None:
    return align(image, copy, start, iterations=60, smoothing=5)


@pytest.mark.parametrize("window", [0, 5, len(WINDOWS) - 1])
def test_a_window_stands_for_its_corner_and_extent(window: int) -> None:
    warp = start_of(Candidate(0, 1, window, 0, False, 0.0), 100)
    rows, columns = WINDOWS[window]
    (top, height), (left, width) = SPANS[rows], SPANS[columns]
    # Edges of the picture, half a pixel beyond the middles of the outermost pixels.
    corner, opposite = warp @ [-0.5, -0.5, 1], warp @ [99.5, 99.5, 1]
    np.testing.assert_allclose(corner, [100 * left - 0.5, 100 * top - 0.5], atol=1e-3)
    np.testing.assert_allclose(opposite, [100 * (left + width) - 0.5, 100 * (top + height) - 0.5], atol=1e-3)


def test_a_map_for_larger_pictures_is_the_same_map() -> None:
    warp = np.array([[0.9, 0.02, 3.0], [-0.01, 0.8, 5.0]], np.float32)
    large = enlarged(warp, 4.0)
    for x, y in [(0.0, 0.0), (10.0, 20.0)]:
        moved = warp @ [x, y, 1] * 4 + 1.5
        np.testing.assert_allclose(large @ [x * 4 + 1.5, y * 4 + 1.5, 1], moved, atol=1e-3)


def test_the_map_is_found_from_nearby() -> None:
    image = scan(1)
    true = np.array([[0.85, 0.03, 9.0], [-0.02, 0.83, 12.0]], np.float32)
    near = true + np.array([[0.03, 0, -1.5], [0, -0.02, 1.5]], np.float32)
    found = refined(image, seen_through(image, true), near)
    assert found is not None
    middle = [LARGE / 2, LARGE / 2, 1]
    np.testing.assert_allclose(found @ middle, true @ middle, atol=0.3)


def test_a_copy_agrees_and_another_patient_does_not() -> None:
    image, other = scan(1), scan(2)
    true = np.array([[0.9, 0, 6.0], [0, 0.9, 5.0]], np.float32)
    noise = np.random.default_rng(3).normal(0, 0.01, image.shape).astype(np.float32)
    copy = seen_through(image, true) + noise
    found = refined(image, copy, true)
    assert found is not None
    assert agreement(image, copy, found) > 0.96
    assert agreement(other, copy, found) < 0.6
    assert np.corrcoef(seen_through(other, true).ravel(), copy.ravel())[0, 1] > 0.6, "alike in the large"


def test_fine_structure_alone_counts() -> None:
    """A slow change of brightness over the picture changes nothing."""
    image = scan(1)
    slope = np.linspace(-0.3, 0.3, LARGE, dtype=np.float32)
    assert agreement(image, image + slope, IDENTITY) > 0.99


@pytest.mark.parametrize(
    "warp",
    [[[0.5, 0, 20], [0, 0.5, 20]], [[1.0, 0.25, 0], [-0.25, 1.0, 0]]],
    ids=["half the picture", "a turn by 14 degrees"],
)
def test_what_no_crop_explains_is_no_map(warp: list[list[float]]) -> None:
    image, true = scan(1), np.array(warp, np.float32)
    assert refined(image, seen_through(image, true), true) is None


def test_flat_pictures_are_no_copies() -> None:
    flat = np.zeros((LARGE, LARGE), np.float32)
    assert refined(flat, flat) is None
    assert agreement(flat, flat, IDENTITY) == 0.0

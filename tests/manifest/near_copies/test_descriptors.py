"""Descriptors: what mirroring, exposure and cropping do to them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.fft import dctn
from scipy.ndimage import gaussian_filter

from scanlens.manifest.near_copies.descriptors import (
    FREQUENCIES,
    LAYS,
    LENGTH,
    WINDOWS,
    equalised,
    laid,
    of_lays,
    of_windows,
)
from scanlens.manifest.near_copies.thumbnails import SIDE


def pictures(count: int = 3) -> np.ndarray:
    smooth = gaussian_filter(np.random.default_rng(0).normal(size=(count, SIDE, SIDE)), (0, 4, 4))
    return (smooth / np.abs(smooth).max()).astype(np.float32)


def test_they_are_the_lowest_cosine_frequencies_without_the_constant() -> None:
    images = pictures()
    found = of_lays(images)[:, LAYS.index((False, False, False))]
    expected = np.stack(
        [dctn(image, norm="ortho")[:FREQUENCIES, :FREQUENCIES].ravel()[1:] for image in images]
    )
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert found.shape == (3, LENGTH)
    assert (np.sum(found * expected, axis=1) > 0.99).all(), "resampled by a few places, else the same"


@pytest.mark.parametrize("lay", range(len(LAYS)), ids=[f"lay{lay}" for lay in range(len(LAYS))])
def test_a_lay_costs_no_transform_of_its_own(lay: int) -> None:
    images = pictures()
    upright = LAYS.index((False, False, False))
    turned = np.stack([laid(image, lay, False) for image in images])
    np.testing.assert_allclose(of_lays(images)[:, lay], of_lays(turned)[:, upright], atol=1e-5)
    negative = np.stack([laid(image, lay, True) for image in images])
    np.testing.assert_allclose(of_lays(negative)[:, upright], -of_lays(images)[:, lay], atol=1e-5)


def test_every_window_has_one_of_length_one_and_a_flat_picture_none() -> None:
    found = of_windows(pictures())
    assert found.shape == (3, len(WINDOWS), LENGTH)
    np.testing.assert_allclose(np.linalg.norm(found, axis=2), 1, rtol=1e-5)
    assert (of_windows(np.zeros((1, SIDE, SIDE), np.float32)) == 0).all()


def test_another_exposure_drops_out() -> None:
    image = np.random.default_rng(1).permutation(np.arange(256, dtype=np.uint8).repeat(4)).reshape(32, 32)
    dim = (np.arange(256) // 2 + 20).astype(np.uint8)
    np.testing.assert_allclose(equalised(dim[image]), equalised(image), atol=0.01)

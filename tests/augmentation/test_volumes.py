"""What the changes of volumes are: measured on ramps, and against arithmetic and SciPy."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from scanlens.augmentation.policy import build_policy
from scanlens.config.schema import Policy
from scanlens.types import ImageArray


def applied(policy: Policy, image: ImageArray, seeds: int) -> list[ImageArray]:
    augment = build_policy(policy, 3, len(image))
    return [augment.apply(image, seed) for seed in range(seeds)]


def test_exposure_is_one_line_within_the_ranges(no_policy: Policy) -> None:
    image = np.random.default_rng(0).uniform(0.3, 0.6, (2, 5, 6, 7)).astype(np.float32)
    for field, most in (("contrast", 0.2), ("brightness", 0.1)):
        changed = applied(dataclasses.replace(no_policy, **{field: most}), image, 100)
        lines = np.array([np.polyfit(image.ravel(), one.ravel(), 1) for one in changed])
        assert all(
            np.allclose(np.polyval(line, image), one, atol=1e-5)
            for line, one in zip(lines, changed, strict=True)
        )
        slope, offset = np.abs(lines - (1, 0)).max(0)
        moved, still = (slope, offset) if field == "contrast" else (offset, slope)
        assert 0.9 * most < moved <= most * 1.001
        assert still < 1e-4


def test_gamma_is_a_power_of_the_volumes_own_range(no_policy: Policy) -> None:
    image = np.random.default_rng(1).uniform(0.2, 0.8, (1, 5, 6, 7)).astype(np.float32)
    low, high = image.min(), image.max()
    exponents = []
    for changed in applied(dataclasses.replace(no_policy, gamma=0.5), image, 60):
        inner = (image > low) & (image < high)
        share = (image[inner] - low) / (high - low)
        powers = np.log((changed[inner] - low) / (high - low)) / np.log(share)
        exponents.append(np.median(powers))
        assert np.allclose(share ** exponents[-1], (changed[inner] - low) / (high - low), atol=1e-4)
    assert 1 / 1.5 <= min(exponents) < 0.8
    assert 1.2 < max(exponents) <= 1.501


def test_a_shift_moves_every_axis_within_its_range(no_policy: Policy) -> None:
    side = 20
    ramps = np.stack(np.meshgrid(*[np.arange(side) / 40 + 0.25] * 3, indexing="ij")).astype(np.float32)
    found = []
    for changed in applied(dataclasses.replace(no_policy, translate=0.1), ramps, 60):
        moved = (changed - ramps)[:, 8:12, 8:12, 8:12] * 40
        assert moved.std(axis=(1, 2, 3)).max() < 1e-2, "each axis by one number"
        found.append(moved.mean(axis=(1, 2, 3)))
    assert np.abs(found).max() <= 2.001
    assert (np.std(found, axis=0) > 0.7).all()
    assert np.abs(np.corrcoef(np.transpose(found)) - np.eye(3)).max() < 0.4


def test_rotation_and_zoom_keep_the_middle(no_policy: Policy) -> None:
    side = 21
    ramps = np.stack(np.meshgrid(*[np.arange(side) / 40 + 0.25] * 3, indexing="ij")).astype(np.float32)
    for field, most in (("rotate_deg", 15.0), ("scale", 0.2)):
        slopes = []
        for changed in applied(dataclasses.replace(no_policy, **{field: most}), ramps, 30):
            assert np.allclose(changed[:, 10, 10, 10], ramps[:, 10, 10, 10], atol=1e-3)
            gradients = np.gradient(changed.astype(float) * 40, axis=(1, 2, 3))
            slopes.append([[part[axis, 10, 10, 10] for part in gradients] for axis in range(3)])
        matrices = np.array(slopes)
        off_axis = np.abs(matrices * (1 - np.eye(3))).max()
        if field == "rotate_deg":
            assert np.allclose(matrices @ matrices.transpose(0, 2, 1), np.eye(3), atol=0.02)
            assert off_axis > 0.1
        else:
            assert off_axis < 1e-3
            zooms = np.diagonal(matrices, axis1=1, axis2=2)
            assert 0.15 < np.abs(zooms - 1).max() <= 0.251, "of the way back: 1 / (1 - scale)"


def test_blur_is_a_gaussian_along_each_axis(no_policy: Policy) -> None:
    image = np.zeros((1, 17, 17, 17), np.float32)
    image[0, 8, 8, 8] = 1
    widths = []
    for changed in applied(dataclasses.replace(no_policy, blur=1.5), image, 20):
        peak = changed[0, 8, 8, 8]
        beside = np.array([changed[0, 9, 8, 8], changed[0, 8, 9, 8], changed[0, 8, 8, 9]])
        assert changed.sum() == pytest.approx(1, abs=0.02)
        sigma = np.sqrt(-0.5 / np.log(np.maximum(beside, 1e-30) / peak))
        widths.extend(sigma)
        if sigma.min() > 0.8:  # below it a Gaussian by its integrals and one by its values differ
            assert np.allclose(changed[0], gaussian_filter(image[0], sigma), atol=0.02 * peak)
    assert max(widths) <= 1.6
    assert np.std(widths) > 0.2


def test_other_random_state_does_not_matter(policy: Policy) -> None:
    image = np.random.default_rng(0).random((1, 8, 9, 10), np.float32)
    augment = build_policy(policy, 3, 1)
    first = augment.apply(image, 5)
    np.random.seed(1)  # noqa: NPY002 - what MONAI would fall back to
    augment.apply(np.zeros((1, 6, 6, 6), np.float32), 9)
    assert np.array_equal(first, augment.apply(image, 5))


def test_volumes_need_no_albumentations() -> None:
    program = (
        "import sys; from scanlens.config.schema import Policy;"
        "from scanlens.augmentation.policy import build_policy;"
        "build_policy(Policy(5, 0, 0, 0, 0, 0, 0, 0, 0), 3, 1);"
        "assert 'albumentations' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)

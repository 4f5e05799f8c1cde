"""What the changes of images are: measured on ramps and points, and against SciPy."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from scanlens.augmentation.policy import build_policy
from scanlens.config.schema import Policy


def measured_geometry(policy: Policy, seeds: int) -> np.ndarray:
    """Angle in degrees, zoom and shift along width and height in pixels, as ramps show them in the middle."""
    side = 41
    down, right = np.mgrid[:side, :side].astype(np.float32) / 80 + 0.25
    augment = build_policy(policy, 2, 2)
    found = []
    for seed in range(seeds):
        ramps = augment.apply(np.stack([right, down]), seed)[:, 19:22, 19:22].astype(float) * 80
        slope_x, slope_y = ((ramps[:, 1, 2] - ramps[:, 1, 0]) / 2, (ramps[:, 2, 1] - ramps[:, 0, 1]) / 2)
        # Where the middle of the changed image was taken from, brought back by the change's own slopes.
        taken = ramps[:, 1, 1] - (0.25 * 80 + (side - 1) / 2)
        shift = -np.linalg.solve(np.stack([slope_x, slope_y], 1), taken)
        angle = np.rad2deg(np.arctan2(slope_y[0], slope_x[0]))
        found.append([angle, 1 / np.hypot(slope_x[0], slope_y[0]), *shift])
    return np.array(found)


def test_geometry_is_drawn_from_the_ranges(no_policy: Policy) -> None:
    ranges = {"rotate_deg": 20.0, "scale": 0.2, "translate": 0.1}
    for column, (field, centre, most) in enumerate(
        [("rotate_deg", 0, 20), ("scale", 1, 0.2), ("translate", 0, 4.1), ("translate", 0, 4.1)]
    ):
        alone = measured_geometry(dataclasses.replace(no_policy, **{field: ranges[field]}), 100)[:, column]
        assert np.abs(alone - centre).max() <= most * 1.02
        assert (alone - centre).std() == pytest.approx(most / np.sqrt(3), rel=0.25)
        assert abs((alone - centre).mean()) < most * 0.25
    together = measured_geometry(dataclasses.replace(no_policy, **ranges), 200)
    assert np.abs(np.corrcoef(together, rowvar=False) - np.eye(4)).max() < 0.25


def test_blur_is_a_gaussian(no_policy: Policy) -> None:
    """The width is read from how a point spreads; the whole must then be as SciPy blurs it."""
    blur = build_policy(dataclasses.replace(no_policy, blur=2.0), 2, 2)
    image = np.zeros((2, 33, 29), np.float32)
    image[0, 16, 14] = image[1, 2, 1] = 1
    widths = []
    for seed in range(60):
        changed = blur.apply(image, seed)
        ratio = changed[0, 16, 15] / changed[0, 16, 14]
        width = 0.0 if ratio == 0 else float(np.sqrt(-0.5 / np.log(ratio)))
        widths.append(width)
        expected = [gaussian_filter(p, width, mode="mirror", radius=int(3.5 * width)) for p in image]
        assert np.allclose(changed, expected if width else image, atol=1e-5)
    assert max(widths) <= 2.0
    assert 0.8 < np.mean(widths) < 1.2


@pytest.mark.parametrize("channels", [1, 3, 6])
def test_exposure_is_one_line_for_all_channels(no_policy: Policy, channels: int) -> None:
    policy = dataclasses.replace(no_policy, brightness=0.1, contrast=0.2)
    image = np.random.default_rng(0).uniform(0.2, 0.7, (channels, 9, 8)).astype(np.float32)
    lines = []
    for seed in range(100):
        changed = build_policy(policy, 2, channels).apply(image, seed)
        lines.append(np.polyfit(image.ravel(), changed.ravel(), 1))
        assert np.allclose(np.polyval(lines[-1], image), changed, atol=1e-5)
    slopes, offsets = np.array(lines).T
    assert np.abs(slopes - 1).max() <= 0.201
    assert np.abs(offsets).max() <= 0.101
    assert slopes.std() == pytest.approx(0.2 / np.sqrt(3), rel=0.25)
    assert offsets.std() == pytest.approx(0.1 / np.sqrt(3), rel=0.25)


def test_other_random_state_does_not_matter(policy: Policy) -> None:
    image = np.random.default_rng(0).random((1, 24, 20), np.float32)
    augment = build_policy(policy, 2, 1)
    first = augment.apply(image, 5)
    cv2.setRNGSeed(99)
    np.random.default_rng(1).random(3)
    assert np.array_equal(first, augment.apply(image, 5))


def test_images_need_no_monai() -> None:
    program = (
        "import sys; from scanlens.config.schema import Policy;"
        "from scanlens.augmentation.policy import build_policy;"
        "build_policy(Policy(5, 0, 0, 0, 0, 0, 0, 0, 0), 2, 1);"
        "assert 'monai' not in sys.modules, 'monai was imported'"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_seeding_costs_little(policy: Policy) -> None:
    """Generous here; the benchmark has the number that counts (2,000 a second and core at 128 px)."""
    images = np.random.default_rng(0).random((64, 1, 128, 128), dtype=np.float32)
    augment = build_policy(policy, 2, 1)
    augment.apply_batch(images[:2], [0, 1])
    start = time.process_time()
    augment.apply_batch(images, range(64))
    assert time.process_time() - start < 0.32

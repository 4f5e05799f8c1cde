"""The policy: laws that hold for images and volumes alike, and what each field does."""

from __future__ import annotations

import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from scanlens.augmentation.policy import build_policy
from scanlens.config.schema import Policy
from scanlens.errors import SettingsError
from scanlens.types import ImageArray

SHAPES = [(1, 24, 20), (3, 24, 20), (1, 12, 14, 16), (5, 24, 20), (2, 12, 14, 16)]
FIELDS = [field.name for field in dataclasses.fields(Policy)]


def smooth_scan(shape: tuple[int, ...]) -> ImageArray:
    """A scan with structure on every axis and values within 0.2 to 0.8."""
    axes = np.meshgrid(*[np.linspace(0, 3, side) for side in shape[1:]], indexing="ij")
    grey = 0.5 + 0.3 * np.sin(sum((number + 1) * axis for number, axis in enumerate(axes)))
    return np.stack([grey * (1 - 0.1 * channel) for channel in range(shape[0])]).astype(np.float32)


@pytest.mark.parametrize("dims", [2, 3])
def test_a_share_of_the_scans_is_changed_as_ever_and_the_others_are_not(policy: Policy, dims: int) -> None:
    shape = (1, *[8] * dims)
    image, seeds = smooth_scan(shape), np.arange(400)
    every = build_policy(policy, dims, 1)
    some = build_policy(policy, dims, 1, 0.3)
    changed = some.apply_batch(np.stack([image] * 400), seeds)
    left = np.array([np.array_equal(one, image) for one in changed])
    assert 0.6 < left.mean() < 0.8
    for seed in seeds[~left][:5]:
        assert np.array_equal(changed[seed], every.apply(image, int(seed)))
    assert some.apply(image, int(seeds[left][0])) is not image, "what is given back may be overwritten"
    scans = np.stack([image] * 400)
    assert some.apply_batch(scans, seeds, out=scans) is scans
    assert np.array_equal(scans, changed)


@pytest.mark.parametrize("shape", SHAPES)
def test_threads_share_a_policy(policy: Policy, shape: tuple[int, ...]) -> None:
    augment = build_policy(policy, len(shape) - 1, shape[0])
    scans, seeds = np.stack([smooth_scan(shape)] * 4), np.arange(160).reshape(-1, 4)
    expected = [augment.apply_batch(scans, some) for some in seeds]
    begin = threading.Barrier(4)

    def change(some: np.ndarray) -> ImageArray:
        if some[0] < 16:
            begin.wait(60)
        return augment.apply_batch(scans, some)

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(change, seeds))
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("shape", SHAPES)
def test_laws(policy: Policy, shape: tuple[int, ...]) -> None:
    image = smooth_scan(shape)
    before = image.copy()
    augment = build_policy(policy, len(shape) - 1, shape[0])
    first = augment.apply(image, 7)
    other = augment.apply(image, 8)
    again = augment.apply(image, 7)
    assert np.array_equal(image, before)
    assert first.shape == shape
    assert first.dtype == np.float32
    assert 0 <= first.min() <= first.max() <= 1
    assert first.tobytes() == again.tobytes()
    assert not np.array_equal(first, other)
    fresh = build_policy(policy, len(shape) - 1, shape[0]).apply(image, 7)
    assert first.tobytes() == fresh.tobytes()
    batch = augment.apply_batch(np.stack([image, image]), [8, 7])
    assert np.array_equal(batch, np.stack([other, first]))


@pytest.mark.parametrize("shape", [SHAPES[0], SHAPES[2]])
@pytest.mark.parametrize("field", FIELDS)
def test_each_field_changes_something(no_policy: Policy, field: str, shape: tuple[int, ...]) -> None:
    value = {"horizontal_flip": 1.0, "rotate_deg": 10.0, "blur": 4.0}.get(field, 0.4)
    image = smooth_scan(shape)
    still = build_policy(no_policy, len(shape) - 1, 1).apply(image, 3)
    changed = build_policy(dataclasses.replace(no_policy, **{field: value}), len(shape) - 1, 1).apply(
        image, 3
    )
    assert np.array_equal(still, image)
    assert np.abs(changed - image).max() > 1e-4


@pytest.mark.parametrize("shape", [SHAPES[0], SHAPES[2]])
def test_flip_is_along_the_width(no_policy: Policy, shape: tuple[int, ...]) -> None:
    image = smooth_scan(shape)
    flip = build_policy(dataclasses.replace(no_policy, horizontal_flip=1.0), len(shape) - 1, 1)
    assert np.array_equal(flip.apply(image, 0), image[..., ::-1])


@pytest.mark.parametrize("shape", [(1, 48, 48), (1, 16, 16, 16)])
def test_noise_has_the_given_spread(no_policy: Policy, shape: tuple[int, ...]) -> None:
    noise = build_policy(dataclasses.replace(no_policy, noise=0.08), len(shape) - 1, 1)
    image = np.full(shape, 0.5, dtype=np.float32)
    spreads = [(noise.apply(image, seed) - image).std() for seed in range(80)]
    assert max(spreads) <= 0.085
    assert abs(np.mean(spreads) - 0.04) < 0.01


@pytest.mark.parametrize("shape", [(3, 64, 64), (3, 16, 16, 16)])
def test_noise_is_normal_and_drawn_for_each_channel(no_policy: Policy, shape: tuple[int, ...]) -> None:
    noise = build_policy(dataclasses.replace(no_policy, noise=0.1), len(shape) - 1, 3)
    image = np.full(shape, 0.5, np.float32)
    scaled = []
    for seed in range(20):
        drawn = (noise.apply(image, seed) - image).reshape(3, -1)
        scaled.append(drawn / drawn.std())
    together = np.concatenate(scaled, axis=1)
    assert np.abs(np.corrcoef(together) - np.eye(3)).max() < 0.02
    assert abs(together.mean()) < 0.01
    assert (together**4).mean() == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize("dims", [2, 3])
def test_changes_are_drawn_independently(no_policy: Policy, dims: int) -> None:
    """One seed for all transforms would draw contrast and gamma alike: correlation 1."""
    both = dataclasses.replace(no_policy, gamma=0.5, brightness=0.2)
    row = np.linspace(0.3, 0.7, 32, dtype=np.float32)
    image = np.broadcast_to(row, (1, *[8] * (dims - 1), 32)).copy()
    augment = build_policy(both, dims, 1)
    brightness, curve = [], []
    for seed in range(200):
        row = augment.apply(image, seed).reshape(-1, 32)[0]
        brightness.append(row[16])
        curve.append((row[-1] - row[16]) / (row[16] - row[0]))
    gamma_only = build_policy(dataclasses.replace(no_policy, gamma=0.5), dims, 1)
    middle = [gamma_only.apply(image, seed).reshape(-1, 32)[0, 16] for seed in range(200)]
    rest = np.asarray(brightness) - np.asarray(middle)
    assert np.std(rest) > 0.05
    assert abs(np.corrcoef(rest, curve)[0, 1]) < 0.3


def test_all_channels_move_together(no_policy: Policy) -> None:
    """Slices and windows of one scan: only the noise is drawn for each."""
    moves = dataclasses.replace(
        no_policy, rotate_deg=20.0, translate=0.1, gamma=0.3, brightness=0.1, blur=1.0
    )
    image = np.repeat(smooth_scan((1, 24, 20)), 9, axis=0)
    changed = build_policy(moves, 2, 9).apply(image, 4)
    assert all(np.allclose(channel, changed[0], atol=1e-6) for channel in changed)
    assert np.abs(changed - image).max() > 0.05


@pytest.mark.parametrize(("dims", "channels"), [(1, 1), (4, 1), (2, 0), (2, 513)])
def test_refuses_scans_of_no_such_shape(no_policy: Policy, dims: int, channels: int) -> None:
    with pytest.raises(SettingsError, match=f"got {dims}, {channels}"):
        build_policy(no_policy, dims, channels)

"""Occlusion: each pixel's value is the mean fall of the logit over the patches that cover it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from captum.attr import Occlusion
from scipy.ndimage import gaussian_filter

from scanlens.errors import SettingsError
from scanlens.methods.occlusion import baseline_scan, occlusion, passes, patch_size, starts, stride_size
from tests.helpers.networks import SIZES, noise, small_network


def case(dims: int, channels: int = 1):
    network = small_network(dims, channels=channels)
    return network, noise(1, channels, SIZES[dims], 3)[0]


@pytest.mark.parametrize(
    ("dims", "channels", "patch", "stride", "kind"),
    [(2, 1, (4, 3), (3, 2), "mean"), (2, 3, (5, 5), (2, 5), "blur"), (3, 1, (4, 3, 3), (3, 3, 2), "mean")],
)
def test_it_equals_a_loop_by_hand(
    dims: int, channels: int, patch: tuple[int, ...], stride: tuple[int, ...], kind: str
) -> None:
    network, scan = case(dims, channels)
    hidden = baseline_scan(scan, kind)
    found = occlusion(network.logits, scan, patch, stride, hidden, 5, progress=False).numpy()
    with torch.no_grad():
        whole = network.logits(scan[None])[0].numpy()
        falls: dict[tuple[int, ...], list[np.ndarray]] = {}
        sides = scan.shape[1:]
        tops = [
            sorted({min(start, side - p) for start in range(0, side, s)})
            for side, p, s in zip(sides, patch, stride, strict=True)
        ]
        for corner in itertools.product(*tops):
            covered = scan.clone()
            pixels = list(itertools.product(*(range(c, c + p) for c, p in zip(corner, patch, strict=True))))
            for pixel in pixels:
                for channel in range(channels):
                    covered[(channel, *pixel)] = hidden[(channel, *pixel)]
            fall = whole - network.logits(covered[None])[0].numpy()
            for pixel in pixels:
                falls.setdefault(pixel, []).append(fall)
    assert found.shape == (3, *sides)
    for pixel, values in falls.items():
        np.testing.assert_allclose(found[(slice(None), *pixel)], np.mean(values, axis=0), atol=1e-5)
    assert len(falls) == np.prod(sides)


@pytest.mark.parametrize("dims", [2, 3])
def test_it_equals_captum_where_patches_fill_the_scan(dims: int) -> None:
    network, scan = case(dims)
    patch, stride = (4, 4, 2)[:dims], (2, 4, 2)[:dims]
    ours = occlusion(network.logits, scan, patch, stride, baseline_scan(scan, "mean"), progress=False)
    for index in range(3):
        with torch.no_grad():
            theirs = Occlusion(network.logits).attribute(
                scan[None], (1, *patch), strides=(1, *stride), baselines=0, target=index,
                perturbations_per_eval=7,
            )  # fmt: skip
        np.testing.assert_allclose(ours[index], theirs[0, 0], atol=1e-5)


def test_batches_change_nothing() -> None:
    network, scan = case(2)
    one, many = (
        occlusion(network.logits, scan, (4, 4), (3, 3), baseline_scan(scan, "mean"), size, progress=False)
        for size in (1, 100)
    )
    np.testing.assert_allclose(one, many, atol=1e-5)


def test_the_baseline_the_patch_and_the_stride_change_the_map() -> None:
    network, scan = case(2)

    def look(patch: int = 4, stride: int = 2, kind: str = "mean"):
        return occlusion(
            network.logits, scan, (patch,) * 2, (stride,) * 2, baseline_scan(scan, kind), progress=False
        )

    usual = look()
    for other in (look(patch=5), look(stride=4), look(kind="blur")):
        assert not np.allclose(usual, other, atol=1e-4)


def test_every_patch_is_whole_and_every_pixel_covered() -> None:
    for length, patch, stride in itertools.product((1, 5, 8, 9), (1, 3, 5), (1, 2, 3)):
        if patch <= length and stride <= patch:
            first = starts(length, patch, stride)
            assert first == sorted(set(first))
            assert {pixel for start in first for pixel in range(start, start + patch)} == set(range(length))
    assert starts(9, 4, 3) == [0, 3, 5]


def test_defaults_go_by_the_scan() -> None:
    assert patch_size((128, 64), None) == (16, 8)
    assert stride_size((16, 8), None) == (8, 4)
    assert patch_size((32, 64, 64), None) == (8, 16, 16)
    assert patch_size((3, 3), None) == (1, 1)
    assert stride_size((1, 1), None) == (1, 1)
    assert patch_size((20, 30), (5,)) == (5, 5)
    assert passes((128, 128), (16, 16), (8, 8)) == 1 + 15**2


@pytest.mark.parametrize(
    "call",
    [
        lambda: patch_size((16, 16), (17,)),
        lambda: patch_size((16, 16), (4, 4, 4)),
        lambda: patch_size((16, 16), (0,)),
        lambda: stride_size((4, 4), (5,)),
        lambda: baseline_scan(torch.zeros(1, 4, 4), "zero"),
    ],
)
def test_what_cannot_be_is_refused(call) -> None:
    with pytest.raises(SettingsError, match=r"Give one number or 2|Choose of: mean, blur"):
        call()


def test_baselines() -> None:
    scan = noise(1, 2, (16, 12), 1)[0]
    assert not baseline_scan(scan, "mean").any()
    expected = [gaussian_filter(channel, (1.0, 0.75), mode="nearest") for channel in scan.numpy()]
    np.testing.assert_allclose(baseline_scan(scan, "blur"), expected, atol=1e-6)

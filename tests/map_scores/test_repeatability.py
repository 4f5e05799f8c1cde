from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from scanlens.map_scores.kinds import MapKinds
from scanlens.map_scores.pictures import draw
from scanlens.map_scores.repeatability import CHANGES, Changes, over_changes, over_members
from scanlens.models.classifier import Classifier
from tests.helpers.planted import Planted, bright_network
from tests.helpers.settings import map_scores

NONE = dataclasses.replace(CHANGES, **{field.name: 0.0 for field in dataclasses.fields(CHANGES)})


@pytest.mark.parametrize("dims", [2, 3])
def test_maps_are_moved_as_the_scans_are(dims: int) -> None:
    """A scan that is its own map: without changes of intensity both must come out alike."""
    rng = np.random.default_rng(0)
    scans = rng.random((4, 1, *([24, 30] if dims == 2 else [8, 10, 12]))).astype(np.float32)
    policy = dataclasses.replace(CHANGES, horizontal_flip=0.5)
    still = dataclasses.replace(
        policy, **dict.fromkeys(("brightness", "contrast", "gamma", "noise", "blur"), 0.0)
    )
    seeds = [3, 4, 5, 6]
    moved = Changes(still, dims, 1).of_scans(scans, seeds)[:, 0]
    assert np.abs(moved - scans[:, 0]).max() > 0.2
    found = Changes(policy, dims, 1).of_maps(5 * scans[:, 0], seeds)
    np.testing.assert_allclose(found, 5 * moved, atol=1e-4)


def test_without_geometry_maps_stay() -> None:
    maps = np.random.default_rng(0).random((2, 9, 9))
    policy = dataclasses.replace(NONE, noise=0.1)
    assert Changes(policy, 2, 1).of_maps(maps, [0, 1]) is maps
    empty = np.zeros((1, 9, 9), np.float32)
    assert (Changes(CHANGES, 2, 1).of_maps(empty, [0]) == 0).all()


def repeat(planted: Planted, policy=CHANGES, further=None, **changes) -> dict[str, dict[str, np.ndarray]]:
    sample, network, settings = planted.sample(), bright_network(), map_scores(**changes)
    kinds = MapKinds(1.0, further)
    (pictures,) = draw(network, sample, kinds, np.arange(16), (sample.targets,))
    return over_changes(network, sample, kinds, pictures, settings, policy)


def test_the_map_of_a_pixelwise_network_moves_with_the_scan(planted: Planted) -> None:
    found = repeat(planted, changes=3)
    assert found["grad_cam"]["spearman"].shape == (16,)
    lesions = np.arange(16) % 2 == 1
    assert found["grad_cam"]["spearman"][lesions].min() > 0.7
    same = repeat(planted, NONE, changes=1)
    assert same["probability_map"]["ssim"] == pytest.approx(1)


def test_a_map_that_does_not_move_repeats_less(planted: Planted) -> None:
    """And the random numbers, their count and their range all change the result."""

    def fixed(network: Classifier, inputs: torch.Tensor) -> torch.Tensor:
        noise = torch.rand(1, 2, 32, 32, generator=torch.Generator().manual_seed(0))
        return noise.expand(len(inputs), -1, -1, -1)

    found = repeat(planted, changes=2, further={"fixed": fixed, "given": np.ones((16, 2, 4, 4))})
    assert set(found) == {"probability_map", "evidence_map", "grad_cam", "fixed"}
    assert found["fixed"]["spearman"].max() < 0.5
    others = [
        repeat(planted, changes=3),
        repeat(planted, dataclasses.replace(CHANGES, rotate_deg=40.0), changes=2),
    ]
    means = [one["probability_map"]["ssim"].mean() for one in (found, *others)]
    assert len(set(means)) == 3


def test_members_of_an_ensemble(planted: Planted) -> None:
    one, same, reverse = (bright_network() for _ in range(3))
    with torch.no_grad():
        reverse.head.weight[1] *= -1
    sample, kinds = planted.sample(), MapKinds(1.0)
    alike = over_members([one, same], sample, kinds)["probability_map"]
    assert alike["ssim"] == pytest.approx(1)
    assert alike["spearman"].shape == (16,)
    mixed = over_members([one, same, reverse], sample, kinds)["probability_map"]["spearman"]
    lesions = np.arange(16) % 2 == 1
    # One pair agrees, two say the contrary.
    assert mixed[lesions] == pytest.approx((1 - 1 - 1) / 3, abs=0.05)

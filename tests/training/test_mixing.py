"""Mixup and CutMix against torchvision, for volumes by hand, and what their draws depend on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import beta, kstest
from torchvision.transforms.v2 import CutMix, MixUp

from scanlens.config.schema import Mixing
from scanlens.training.mixing import Mix, cut, draw_mix, mix_scans, mix_targets

BOTH = Mixing(0.4, 1.0, 1.0)
SHAPES = [(6, 1, 9, 11), (6, 3, 8, 8), (6, 1, 7, 9, 5)]


def test_mixup_is_torchvisions() -> None:
    scans, targets = torch.rand(6, 3, 9, 11), torch.tensor([0, 2, 1, 1, 0, 2])
    peer = MixUp(num_classes=3)
    mix = Mix(0.3, None)
    params = {"labels": targets, "batch_size": 6, "lam": 0.3}
    assert torch.allclose(mix_scans(scans, mix), peer.transform(scans, params), atol=1e-6)
    assert torch.allclose(mix_targets(targets, mix, 3), peer.transform(targets, params), atol=1e-6)


@pytest.mark.parametrize("seed", range(8))
def test_cutmix_is_torchvisions(seed: int) -> None:
    scans, targets = torch.rand(6, 1, 20, 30), torch.tensor([0, 2, 1, 1, 0, 2])
    peer = CutMix(num_classes=3)
    torch.manual_seed(seed)
    params = peer.make_params([scans])
    torch.manual_seed(seed)
    share = float(peer._dist.sample(()))
    across, down = int(torch.randint(30, (1,))), int(torch.randint(20, (1,)))
    box = cut(share, (down, across), (20, 30))
    x1, y1, x2, y2 = params["box"]
    assert box == (slice(y1, y2), slice(x1, x2))
    mix = Mix(params["lam_adjusted"], box)
    params = {"labels": targets, "batch_size": 6, **params}
    params["lam"] = params["lam_adjusted"]
    assert torch.equal(mix_scans(scans, mix), peer.transform(scans, params))
    assert torch.allclose(mix_targets(targets, mix, 3), peer.transform(targets, params), atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_share_is_what_is_left_of_a_scan(shape: tuple[int, ...]) -> None:
    # Every scan a level of its own: what is mixed shows.
    scans = torch.arange(6.0).reshape(-1, *[1] * (len(shape) - 1)).expand(shape)
    boxes = 0
    for step in range(30):
        mix = draw_mix(BOTH, shape[2:], (0, step))
        assert mix is not None
        mixed = mix_scans(scans, mix)
        wanted = mix.share * scans + (1 - mix.share) * scans.roll(1, 0)
        axes = tuple(range(1, len(shape)))
        assert torch.allclose(mixed.mean(axes), wanted.mean(axes), atol=1e-5)
        if mix.box is not None:
            boxes += 1
            assert ((mixed == scans) | (mixed == scans.roll(1, 0))).all()
    assert 5 < boxes < 25


def test_mixing_leaves_the_batch_itself_alone() -> None:
    scans = torch.rand(4, 1, 6, 6)
    before = scans.clone()
    for mix in (Mix(0.5, None), Mix(0.75, (slice(0, 3), slice(0, 3)))):
        assert not torch.equal(mix_scans(scans, mix), scans)
        assert torch.equal(scans, before)


def test_channels_last_stays() -> None:
    scans = torch.rand(4, 3, 6, 6).contiguous(memory_format=torch.channels_last)
    for mix in (Mix(0.5, None), Mix(0.75, (slice(0, 3), slice(0, 3)))):
        assert mix_scans(scans, mix).is_contiguous(memory_format=torch.channels_last)


def test_targets_are_shares_and_numbers_stay_numbers() -> None:
    mix = Mix(0.25, None)
    hard = torch.tensor([0, 2, 1])
    assert mix_targets(hard, mix, 3).tolist() == [[0.25, 0.75, 0], [0.75, 0, 0.25], [0, 0.25, 0.75]]
    soft = mix_targets(torch.nn.functional.one_hot(hard, 3).float(), mix, 3)
    assert torch.equal(soft, mix_targets(hard, mix, 3))
    assert mix_targets(torch.tensor([1.0, 5.0, -3.0]), mix, 1).tolist() == [-2.0, 2.0, 3.0]


def test_draws_depend_on_the_key_alone() -> None:
    state = torch.random.get_rng_state()
    one = [draw_mix(BOTH, (28, 28), (3, 1, step, 0)) for step in range(20)]
    np.random.default_rng(0).random(5)
    assert one[7:] == [draw_mix(BOTH, (28, 28), (3, 1, step, 0)) for step in range(7, 20)]
    for other in ((4, 1, 0, 0), (3, 2, 0, 0), (3, 1, 0, 1)):
        assert draw_mix(BOTH, (28, 28), other) != one[0]
    # The generator of dropout is not touched.
    assert torch.equal(state, torch.random.get_rng_state())


def test_shares_come_from_the_beta_distribution() -> None:
    shares = [draw_mix(Mixing(0.4, 0.0, 1.0), (8, 8), (0, step)).share for step in range(1000)]
    assert kstest(shares, beta(0.4, 0.4).cdf).pvalue > 0.01


def test_each_setting_acts() -> None:
    assert draw_mix(Mixing(0.0, 0.0, 1.0), (8, 8), (0,)) is None
    assert draw_mix(Mixing(1.0, 1.0, 0.0), (8, 8), (0,)) is None
    half = [draw_mix(Mixing(1.0, 0.0, 0.5), (8, 8), (0, step)) for step in range(200)]
    assert 70 < sum(mix is not None for mix in half) < 130
    assert all(draw_mix(Mixing(1.0, 0.0, 1.0), (8, 8), (0, step)).box is None for step in range(20))
    assert all(draw_mix(Mixing(0.0, 1.0, 1.0), (8, 8), (0, step)).box is not None for step in range(20))


def test_features_can_be_blended() -> None:
    mix = draw_mix(Mixing(1.0, 0.0, 1.0), (), (0,))
    features = torch.rand(5, 7)
    expected = mix.share * features + (1 - mix.share) * features.roll(1, 0)
    assert torch.allclose(mix_scans(features, mix), expected, atol=1e-6)

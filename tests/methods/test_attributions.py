"""Integrated gradients and SmoothGrad against their formulas, written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scanlens.errors import SettingsError
from scanlens.methods.attributions import integrated_gradients, smooth_grad
from scanlens.methods.occlusion import baseline_scan
from tests.helpers.networks import SIZES, noise, small_network

CASES = [(2, 1), (2, 3), (3, 1)]


def case(dims: int, channels: int = 1):
    # A smooth activation: fewer jumps of the gradient along the way.
    network = small_network(dims, channels=channels, activation="tanh")
    return network, noise(1, channels, SIZES[dims], 3)[0]


def gradient(network, scan: torch.Tensor, index: int) -> torch.Tensor:
    leaf = scan[None].clone().requires_grad_()
    return torch.autograd.grad(network.logits(leaf)[0, index], leaf)[0][0]


@pytest.mark.parametrize(("dims", "channels"), CASES)
@pytest.mark.parametrize("kind", ["mean", "blur"])
def test_the_sum_is_the_difference_of_the_logits(dims: int, channels: int, kind: str) -> None:
    network, scan = case(dims, channels)
    hidden = baseline_scan(scan, kind)
    maps, misses = integrated_gradients(network.logits, scan, [0, 1, 2], hidden, steps=128)
    with torch.no_grad():
        there, empty = network.logits(torch.stack([scan, hidden]))
    assert maps.shape == (3, *SIZES[dims])
    sums = maps.flatten(1).sum(1)
    np.testing.assert_allclose(sums - (there - empty), misses, atol=1e-4)
    # Max pooling has kinks on the way; the differences are whole units.
    np.testing.assert_allclose(sums, there - empty, atol=0.02)


def test_it_equals_a_riemann_sum() -> None:
    network, scan = case(2)
    hidden = baseline_scan(scan, "mean")
    maps, _ = integrated_gradients(network.logits, scan, [2, 0], hidden, steps=128)
    count = 400
    for row, index in enumerate((2, 0)):
        slopes = [
            gradient(network, hidden + (step + 0.5) / count * (scan - hidden), index) for step in range(count)
        ]
        expected = (torch.stack(slopes).mean(0) * (scan - hidden)).sum(0)
        np.testing.assert_allclose(maps[row], expected, atol=1e-2 * float(expected.abs().max()))


def test_steps_and_baseline_change_it_and_batches_do_not() -> None:
    network, scan = case(2)
    hidden = baseline_scan(scan, "mean")
    usual, _ = integrated_gradients(network.logits, scan, [1], hidden, 16)
    same, _ = integrated_gradients(network.logits, scan, [1], hidden, 16, batch_size=5)
    np.testing.assert_allclose(usual, same, atol=1e-6)
    few, miss = integrated_gradients(network.logits, scan, [1], hidden, 2)
    assert not np.allclose(usual, few, atol=1e-4)
    assert float(miss.abs()) > 0
    blurred, _ = integrated_gradients(network.logits, scan, [1], baseline_scan(scan, "blur"), 16)
    assert not np.allclose(usual, blurred, atol=1e-4)


@pytest.mark.parametrize(("dims", "channels"), CASES)
def test_smoothgrad_without_noise_is_the_gradient(dims: int, channels: int) -> None:
    network, scan = case(dims, channels)
    maps = smooth_grad(network.logits, scan, [0, 2], samples=3, noise=0.0)
    for row, index in enumerate((0, 2)):
        np.testing.assert_allclose(maps[row], gradient(network, scan, index).sum(0), atol=1e-6)


def test_smoothgrad_is_the_mean_over_noisy_copies() -> None:
    network, scan = case(2)
    found = smooth_grad(network.logits, scan, [1], samples=400, noise=0.2, batch_size=50)[0]
    spread = 0.2 * float(scan.max() - scan.min())
    copies = scan + spread * noise(400, 1, SIZES[2], 9)
    expected = torch.stack([gradient(network, copy, 1) for copy in copies])
    error = expected.std(0) * (2 / 400) ** 0.5
    far = (found - expected.mean(0)[0]).abs() / error[0]
    assert float(far.max()) < 5
    assert float(far.mean()) < 1.2


def test_the_seed_the_noise_and_the_samples_decide() -> None:
    network, scan = case(2)
    usual = smooth_grad(network.logits, scan, [1], samples=4)
    assert torch.equal(usual, smooth_grad(network.logits, scan, [1], samples=4))
    both = smooth_grad(network.logits, scan, [0, 1], samples=4)
    assert torch.equal(usual[0], both[1])  # every class sees the same noise
    for change in ({"seed": 1}, {"noise": 0.3}, {"samples": 5}):
        other = smooth_grad(network.logits, scan, [1], **{"samples": 4, **change})
        assert not np.allclose(usual, other, atol=1e-6)


def test_the_random_state_stays() -> None:
    network, scan = case(2)
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    smooth_grad(network.logits, scan, [0], samples=2)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("change", [{"samples": 0}, {"noise": -0.1}, {"noise": float("nan")}])
def test_what_cannot_be_is_refused(change: dict[str, float]) -> None:
    network, scan = case(2)
    with pytest.raises(SettingsError, match=r"--(samples|noise) is"):
        smooth_grad(network.logits, scan, [0], **change)
    with pytest.raises(SettingsError, match="--steps is 0"):
        integrated_gradients(network.logits, scan, [0], baseline_scan(scan, "mean"), steps=0)

"""The discriminator's random changes."""

from __future__ import annotations

import pytest
import torch

from scanlens.synthesis.diffaugment import BatchChanges, apply_changes, draw_changes


@pytest.mark.parametrize("dims", [2, 3])
def test_shift(dims: int) -> None:
    scans = torch.rand(1, 1, *[16] * dims)
    shift = torch.tensor([[1] + [-2] * (dims - 1)])
    moved = apply_changes(scans, BatchChanges(torch.zeros(1), torch.ones(1), shift))
    inner = tuple([slice(4, 12)] * dims)
    expected = scans.roll(shift[0].tolist(), dims=list(range(2, 2 + dims)))
    torch.testing.assert_close(moved[(0, 0, *inner)], expected[(0, 0, *inner)])
    assert moved[0, 0, 0].abs().max() == 0


def test_brightness_and_contrast() -> None:
    scans = torch.rand(2, 1, 16, 16)
    still = torch.zeros(2, 2, dtype=torch.int64)
    changed = apply_changes(scans, BatchChanges(torch.tensor([0.1, 0.0]), torch.tensor([1.0, 0.5]), still))
    torch.testing.assert_close(changed[0], scans[0] + 0.1)
    torch.testing.assert_close(changed[1].std(), scans[1].std() * 0.5)
    torch.testing.assert_close(changed[1].mean(), scans[1].mean())


def test_gradient_passes_and_seed_decides() -> None:
    scans = torch.rand(3, 1, 16, 16, requires_grad=True)
    draws = [draw_changes(3, 2, 16, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    first, again, other = (apply_changes(scans, changes) for changes in draws)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    first.sum().backward()
    assert scans.grad is not None
    assert scans.grad.abs().sum() > 0

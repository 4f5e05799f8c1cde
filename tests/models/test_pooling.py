"""The generalised mean's own gradient against autograd's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from scanlens.models import pooling
from scanlens.models.pooling import EXPONENT, LEAST_FEATURE, generalised_mean

LEAST = np.float32(LEAST_FEATURE)


def by_autograd(maps: Tensor) -> Tensor:
    return maps.float().flatten(2).clamp(min=LEAST_FEATURE).pow(EXPONENT).mean(2).pow(1 / EXPONENT)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("shape", [(4, 16, 9, 7), (1, 3, 5, 4, 6), (5, 8, 1, 1), (3, 2, 40)], ids=str)
@pytest.mark.parametrize("last", [False, True])
def test_values_and_gradients_are_autograds_to_the_last_bit(
    dtype: torch.dtype, shape: tuple[int, ...], last: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pooling, "CACHED_NUMBERS", 2 * torch.Size(shape[1:]).numel())
    torch.manual_seed(0)
    maps = torch.randn(shape).to(dtype)
    # A dead map, and features at the threshold and beside it.
    maps[0, 0] = 0
    edges = torch.tensor([np.nextafter(LEAST, np.float32(0)), LEAST, np.nextafter(LEAST, np.float32(1))])
    maps.flatten(2)[0, 1, :3] = edges[: maps[0, 0].numel()].to(dtype)
    if last and maps.ndim == 4:
        maps = maps.contiguous(memory_format=torch.channels_last)
    ours, theirs = maps.clone().requires_grad_(), maps.clone().requires_grad_()
    pooled, expected = generalised_mean(ours), by_autograd(theirs)
    assert pooled.grad_fn is not None
    assert "GeneralisedMean" in pooled.grad_fn.name()
    assert torch.equal(pooled, expected)
    slopes = torch.randn_like(pooled)
    pooled.backward(slopes)
    expected.backward(slopes)
    assert ours.grad is not None
    assert theirs.grad is not None
    assert ours.grad.dtype == dtype
    assert torch.equal(ours.grad, theirs.grad)
    assert torch.equal(ours.detach(), maps), "the features are left as they are"


def test_without_a_gradient_it_is_the_formula_alone() -> None:
    maps = torch.randn(2, 3, 4, 4)
    pooled = generalised_mean(maps)
    assert pooled.grad_fn is None
    assert torch.equal(pooled, by_autograd(maps))
    with torch.no_grad():
        assert torch.equal(generalised_mean(maps.requires_grad_()), pooled)


def test_a_gradient_of_the_gradient_is_refused_and_not_wrong() -> None:
    maps = torch.rand(1, 2, 3, 3).requires_grad_()
    (slope,) = torch.autograd.grad(generalised_mean(maps).sum(), maps, create_graph=True)
    with pytest.raises(RuntimeError, match="does not require grad"):
        torch.autograd.grad(slope.sum(), maps)

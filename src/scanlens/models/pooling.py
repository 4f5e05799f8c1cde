"""The generalised mean over cells, with a gradient of its own.

Radenović et al. 2018, "Fine-tuning CNN image retrieval with no human annotation". Each of its operations
takes next to nothing, but autograd keeps a map of the features' size for each and makes more on the way back:
in a small network a good part of a training step. Written out, the way back takes some scans at a time, which
stay in the processor's cache, and gives the same numbers to the last bit (``benchmarks/training.py`` measures
both).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

EXPONENT = 3.0
"""The stronger a cell, the more it counts; 1 would be the mean."""
LEAST_FEATURE = 1e-6
"""What a smaller feature is taken for: powers of negative numbers have no root."""
CACHED_NUMBERS = 2**18
"""Numbers of a feature map that are worked on at a time on the way back: 1 MiB."""


def generalised_mean(maps: Tensor) -> Tensor:
    """Means over cells, ``(batch, feature)``, float32.

    Args:
        maps: ``(batch, feature, *grid)``, floats.
    """
    if maps.device.type == "cpu" and maps.requires_grad and torch.is_grad_enabled():
        pooled: Tensor = _GeneralisedMean.apply(maps)  # type: ignore[no-untyped-call]
        return pooled
    return maps.float().flatten(2).clamp(min=LEAST_FEATURE).pow(EXPONENT).mean(2).pow(1 / EXPONENT)


class _GeneralisedMean(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps: Tensor) -> Tensor:
        powers = maps.to(torch.float32, copy=True).flatten(2).clamp_(min=LEAST_FEATURE).pow_(EXPONENT)
        means = powers.mean(2)
        ctx.save_for_backward(maps, means)
        return means.pow(1 / EXPONENT)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, slopes: Tensor) -> Tensor:
        maps, means = ctx.saved_tensors
        grid = maps.shape[2:]
        # In autograd's order, for its rounding.
        shares = slopes * (1 / EXPONENT * means.pow(1 / EXPONENT - 1)) / grid.numel()
        shares = shares.reshape(*shares.shape, *(1 for _ in grid))
        result = torch.empty_like(maps)
        scans = max(1, CACHED_NUMBERS // max(1, maps.shape[1:].numel()))
        for first in range(0, len(maps), scans):
            part = slice(first, first + scans)
            features = maps[part].to(torch.float32, copy=True)
            # Smaller features have no part in the mean.
            torch.threshold_(features, LEAST_FEATURE, 0.0)
            result[part] = features.square_().mul_(EXPONENT).mul_(shares[part])
        return result

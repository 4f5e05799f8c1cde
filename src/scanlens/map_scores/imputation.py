"""Filling in what was taken out of a scan, so smoothly that the gap's outline is hard to see.

Noisy linear imputation of ROAD: every missing pixel is the weighted mean of its neighbours, known or missing,
plus a little noise. Rong et al. 2022, "A consistent and efficient evaluation strategy for attribution
methods". Their direct sparse solver takes a tenth of a second a scan; here conjugate gradients run on a
pyramid from coarse to fine, for all scans of a batch together (Bornemann and Deuflhard 1996, "The cascadic
multigrid method for elliptic problems").
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

NOISE = 0.01
"""Standard deviation of the noise, in units of the network's input, as in the paper's code."""
RESIDUAL = 1e-3
"""Where the solver stops: no pixel is further from its neighbours' mean than this. Errors stay around
:data:`NOISE`."""
ITERATIONS = 100
"""Of the solver, at most, on each level."""


def impute(scans: Tensor, missing: Tensor, noise: Tensor | None = None, residual: float = RESIDUAL) -> Tensor:
    """Fill missing pixels by linear imputation.

    Args:
        scans: ``(batch, channel, *spatial)``; what they hold at missing pixels does not matter.
        missing: bool ``(batch, *spatial)``, the same for all channels; some pixel of each scan is known.
        noise: Added at missing pixels, ``(batch, channel, *spatial)``.
        residual: See :data:`RESIDUAL`.

    Returns:
        ``(batch, channel, *spatial)``; known pixels as they were.
    """
    # Channels are filled apart from each other.
    planes = scans.flatten(0, 1)[:, None]
    gaps = missing[:, None].expand(scans.shape).flatten(0, 1)[:, None].to(scans.dtype)
    filled = _fill(planes, gaps, residual).reshape(scans.shape)
    if noise is not None:
        filled = filled + noise
    return torch.where(missing[:, None], filled, scans)


def _fill(planes: Tensor, gaps: Tensor, residual: float) -> Tensor:
    """Solve for the gaps of ``(plane, 1, *spatial)``, beginning with the solution at half the size."""
    known, size = 1 - gaps, planes.shape[2:]
    values = known * planes
    first = torch.zeros_like(planes)
    half = [-(-side // 2) for side in size]
    if max(size) > 2 and bool(gaps.any()):
        share = F.interpolate(known, size=half, mode="area")
        coarse = F.interpolate(values, size=half, mode="area") / share.clamp(min=1e-6)
        coarse = _fill(coarse, (share == 0).to(planes.dtype), residual)
        mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[len(size)]
        first = F.interpolate(coarse, size=size, mode=mode)
    weight = _neighbours(torch.ones_like(planes[:1]))
    return values + _solve(gaps * first, gaps * _neighbours(values), gaps, weight, residual)


def _neighbours(planes: Tensor) -> Tensor:
    """Weighted sum of each pixel's neighbours; what lies beyond the border counts nothing.

    The weights are 1/6 beside and 1/12 across the corner in images, as in the paper; they are the products
    of 1, 2, 1 along each axis without the middle, which is how they are taken to volumes.
    """
    total = planes
    dims = planes.ndim - 2
    for axis in range(2, planes.ndim):
        padding = [0, 0] * (planes.ndim - 1 - axis) + [1, 1]
        padded = F.pad(total, padding)
        side = planes.shape[axis]
        total = padded.narrow(axis, 0, side) + 2 * padded.narrow(axis, 1, side) + padded.narrow(axis, 2, side)
    return (total - 2**dims * planes) / (4**dims - 2**dims)


def _solve(found: Tensor, wanted: Tensor, gaps: Tensor, weight: Tensor, residual: float) -> Tensor:
    """Conjugate gradients for "weight times pixel less its neighbours is wanted" at the gaps."""
    axes = tuple(range(1, found.ndim))
    rest = wanted - gaps * (weight * found - _neighbours(found))
    direction, length = rest, rest.square().sum(axes, keepdim=True)
    for _ in range(ITERATIONS):
        if float(rest.abs().max()) < residual:
            break
        image = gaps * (weight * direction - _neighbours(direction))
        step = length / (direction * image).sum(axes, keepdim=True).clamp(min=1e-30)
        found, rest = found + step * direction, rest - step * image
        before, length = length, rest.square().sum(axes, keepdim=True)
        direction = rest + length / before.clamp(min=1e-30) * direction
    return found

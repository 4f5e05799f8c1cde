"""Random changes that real and made scans both pass before the discriminator (Zhao et al. 2020).

They keep the discriminator from learning a small training split by heart, and being differentiable they
let the generator learn through them (arXiv:2006.10738). Random values are drawn apart from applying them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

BRIGHTNESS = 0.2
"""Largest shift, in units of the intensity range."""
CONTRAST = 0.5
"""Largest relative change of contrast."""
TRANSLATION = 1 / 8
"""Largest shift, as a fraction of the side."""


@dataclass(frozen=True)
class BatchChanges:
    """What was drawn for a batch.

    Attributes:
        brightness: ``(batch,)``, added.
        contrast: ``(batch,)``, the factor about the scan's mean.
        shifts: ``(batch, axis)`` pixels.
    """

    brightness: Tensor
    contrast: Tensor
    shifts: Tensor


def draw_changes(batch: int, dims: int, side: int, random: torch.Generator) -> BatchChanges:
    """Draw the changes of a batch."""
    reach = int(side * TRANSLATION)
    return BatchChanges(
        brightness=BRIGHTNESS * (2 * torch.rand(batch, generator=random) - 1),
        contrast=1 + CONTRAST * (2 * torch.rand(batch, generator=random) - 1),
        shifts=torch.randint(-reach, reach + 1, (batch, dims), generator=random),
    )


def apply_changes(scans: Tensor, changes: BatchChanges) -> Tensor:
    """Change each scan of a batch; what is shifted in is 0.

    Args:
        scans: ``(batch, channel, *spatial)``.
        changes: One set of changes a scan.

    Returns:
        The same shape; values may leave [0, 1].
    """
    spread = (-1, *[1] * (scans.ndim - 1))
    brightness = changes.brightness.to(scans.device).view(spread)
    contrast = changes.contrast.to(scans.device).view(spread)
    scans = scans + brightness
    mean = scans.flatten(1).mean(dim=1).view(spread)
    scans = (scans - mean) * contrast + mean
    side = scans.shape[-1]
    reach = int(side * TRANSLATION)
    padded = functional.pad(scans, (reach, reach) * (scans.ndim - 2))
    cut = []
    for row, shifts in zip(padded, changes.shifts.tolist(), strict=True):
        for axis, shift in enumerate(shifts, start=1):
            row = row.narrow(axis, reach - shift, side)
        cut.append(row)
    return torch.stack(cut)

"""Evidence at the cells where it was seen: one layer's evidence shared out by what earlier layers found.

A cell of the last feature map answers for all it sees, and often its strongest cell lies beside the
lesion: each convolution may look a cell further. How far a class looks aside in every scan is measured after
training (:mod:`scanlens.models.displacement`), and evidence first moves back by that. Earlier layers still
know where something was, the one before the last pooling at more cells. So evidence then walks back: to the
layer before the last block where that has as many cells, then from one layer with more cells to the next.
At each step the evidence of a cell is shared out among the cells around it in proportion to the earlier
layer's activity there, the length of its feature vector.
Nothing is added or lost: the shares of a cell sum to one, so sums, and with them the mean of the local
logits, stay what they were. It takes no gradient and serves all classes at once.

The idea of guiding a coarse map by a finer one is that of joint bilateral upsampling (Kopf et al. 2007); that
activity without any gradient tells where objects are is known from Muhammad and Yeasin 2020, "Eigen-CAM".
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

REACH = 1.0
"""Standard deviation of the window in which evidence is shared out at the first step, in cells."""
FINER = 0.5
"""The same at the steps after it, in cells of the map at hand."""
CALM = 0.5
"""Standard deviation by which the activity is smoothed, likewise: single pixels are noise."""
_LEAST_SHARE = 1e-6
"""Of the mean activity: where nothing was active evidence is shared out evenly."""


def window(coarse: int, fine: int, deviation: float, like: Tensor) -> Tensor:
    """Gaussian weights ``(coarse, fine)`` between the centres of two grids over the same axis.

    Args:
        coarse: Cells of the one grid.
        fine: Cells of the other.
        deviation: In cells of the coarse grid, > 0.
        like: Gives device and dtype.
    """
    rows = (torch.arange(coarse, dtype=like.dtype, device=like.device) + 0.5)[:, None]
    columns = (torch.arange(fine, dtype=like.dtype, device=like.device) + 0.5) * (coarse / fine)
    return torch.exp(-(((columns - rows) / deviation) ** 2) / 2)


def along_axes(maps: Tensor, matrices: list[Tensor]) -> Tensor:
    """Multiply each cell axis of ``(batch, channel, *grid)`` by its matrix ``(grid, result)``."""
    for axis, matrix in enumerate(matrices, start=2):
        maps = torch.movedim(torch.matmul(torch.movedim(maps, axis, -1), matrix), -1, axis)
    return maps


def activity(features: Tensor) -> Tensor:
    """How active each cell is, for whatever class: length of its feature vector, ``(batch, 1, *grid)``."""
    return features.float().square().sum(1, keepdim=True).sqrt()


class Guide(NamedTuple):
    """A layer that says where evidence was seen.

    Attributes:
        name: Of the module within the backbone.
        reach: Standard deviation of the window, in cells of the map that is shared out.
    """

    name: str
    reach: float


def move(contributions: Tensor, displacement: Tensor) -> Tensor:
    """Put each cell's contributions where they come from, between cells by linear interpolation.

    Args:
        contributions: ``(batch, class, *grid)`` of any sign.
        displacement: ``(class, axis)`` as shares of the axes, from
            :func:`scanlens.models.displacement.measure_displacement`. What would leave the grid stays at its
            border.

    Returns:
        The same shape; the sum over cells stays.
    """
    for axis, side in enumerate(contributions.shape[2:]):
        cells = torch.arange(side, dtype=displacement.dtype, device=displacement.device)
        targets = (cells + displacement[:, axis, None] * side).clamp(0, side - 1)
        matrices = (1 - (targets[:, :, None] - cells).abs()).clamp(min=0)
        # One matrix a class: it meets the class axis, and any cell axis between stays as it is.
        matrices = matrices.reshape(-1, *[1] * (contributions.ndim - 4), side, side)
        moved = torch.movedim(contributions.float(), axis + 2, -1)
        contributions = torch.movedim(torch.matmul(moved, matrices), -1, axis + 2)
    return contributions


def refine(contributions: Tensor, guide: Tensor, reach: float) -> Tensor:
    """Share each cell's contributions out among the cells around it where the guide was active.

    Args:
        contributions: ``(batch, class, *grid)`` of any sign.
        guide: Features of an earlier layer, ``(batch, feature, *finer)``.
        reach: Standard deviation of the window, in cells of ``contributions``.

    Returns:
        ``(batch, class, *finer)``, float32, whose sum over cells is that of ``contributions``.
    """
    active = activity(guide)
    coarse, fine = contributions.shape[2:], guide.shape[2:]
    calm = [window(b, b, CALM * b / a, active) for a, b in zip(coarse, fine, strict=True)]
    active = along_axes(active, [matrix / matrix.sum(0) for matrix in calm])
    active = active + _LEAST_SHARE * active.mean(dim=tuple(range(1, active.ndim)), keepdim=True) + 1e-12
    near = [window(a, b, reach, active) for a, b in zip(coarse, fine, strict=True)]
    given = along_axes(active, [matrix.T for matrix in near])
    return active * along_axes(contributions.float() / given, near)

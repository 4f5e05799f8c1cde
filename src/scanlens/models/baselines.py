"""Baselines that a network must beat: the pixels themselves, and hand-made edge features.

Neither has a backbone that learns. ``dense`` is a shallow dense network (``model.hidden``) on the pixels,
``edges`` a linear classifier on eight directional edge strengths of every patch of the scan.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scanlens.errors import SettingsError
from scanlens.models.architecture import Architecture

# Border of a 3 x 3 kernel, clockwise from the upper left corner.
_BORDER = ((0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0))
_PATCH = 8
"""Side of a patch where ``model.args.patch`` is not given."""


def compass_kernels() -> Tensor:
    """Kirsch's eight compass kernels ``(8, 3, 3)``, each turned 45 degrees clockwise from the one before.

    Kirsch 1971, "Computer determination of the constituent structure of biological images": 5 along three
    neighbours, -3 elsewhere on the border. Divided by 15, so that a step of height 1 gives 1.
    """
    kernels = torch.zeros(8, 3, 3)
    for turn in range(8):
        for position, (row, column) in enumerate(_BORDER):
            kernels[turn, row, column] = 5 if (position - turn) % 8 < 3 else -3
    return kernels / 15


class EdgeFeatures(nn.Module):
    """Edge strength in eight directions, per channel, summed over every patch; nothing here is learnt.

    Volumes are convolved slice by slice (along the last two axes) and summed over cubes. The sums are put on
    one scale by the mean and deviation of each direction over the training scans, as before any linear
    classifier.

    Args:
        dims: 2 or 3.
        channels: Of the scans.
        patch: Side of a patch in pixels or voxels; patches at the far border may be smaller.
    """

    kernels: Tensor

    def __init__(self, dims: int, channels: int, patch: int) -> None:
        super().__init__()
        self.dims, self.channels, self.patch = dims, channels, patch
        kernels = compass_kernels().reshape(8, 1, *[1] * (dims - 2), 3, 3)
        self.register_buffer("kernels", kernels.repeat(channels, *[1] * (dims + 1)), persistent=False)
        self.scale = (nn.BatchNorm2d if dims == 2 else nn.BatchNorm3d)(8 * channels, affine=False)

    def sums(self, scans: Tensor) -> Tensor:
        """Summed edge strengths ``(batch, 8 * channel, *patches)`` of ``(batch, channel, *spatial)``.

        Feature ``8 * c + d`` is direction ``d`` of channel ``c``. Beyond the border the scan goes on as its
        last pixel.
        """
        around = F.pad(scans, (1, 1, 1, 1, *[0, 0] * (self.dims - 2)), mode="replicate")
        convolve, average = (F.conv2d, F.avg_pool2d) if self.dims == 2 else (F.conv3d, F.avg_pool3d)
        edges = convolve(around, self.kernels, groups=self.channels).relu()
        lacking = [(-side) % self.patch for side in reversed(scans.shape[2:])]
        whole = F.pad(edges, [amount for side in lacking for amount in (0, side)])
        return average(whole, self.patch) * self.patch**self.dims

    def forward(self, scans: Tensor) -> Tensor:
        """Features ``(batch, 8 * channel, *patches)`` on one scale."""
        features: Tensor = self.scale(self.sums(scans))
        return features


def build_edges(architecture: Architecture) -> nn.Module:
    """Edge features; ``args.patch`` is the side of a patch.

    Raises:
        SettingsError: On other arguments, or a patch that does not fit.
    """
    _take_only(architecture, "patch")
    patch = architecture.args.get("patch", _PATCH)
    if type(patch) is not int or not 1 <= patch <= max(architecture.size):
        raise SettingsError(
            f"model.args.patch is {patch!r}; expected a whole number from 1 to the scan's longest side."
        )
    return EdgeFeatures(len(architecture.size), architecture.channels, patch)


def build_dense(architecture: Architecture) -> nn.Module:
    """The pixels as they are: ``model.hidden`` is the whole network.

    Raises:
        SettingsError: On arguments: it takes none.
    """
    _take_only(architecture)
    return nn.Identity()


def _take_only(architecture: Architecture, *known: str) -> None:
    name = architecture.name
    if unknown := sorted(set(architecture.args).difference(known)):
        raise SettingsError(
            f"model.args do not fit {name}: {', '.join(unknown)}.", f"It takes {', '.join(known) or 'none'}."
        )
    if architecture.width != 1:
        raise SettingsError(f"model.width={architecture.width} does not fit {name}.", "Use model.width=1.")

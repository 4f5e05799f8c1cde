"""The generator and the discriminator, for images and volumes alike.

Both are small convolutional pyramids between a grid of four places an axis and the working side, a power
of two. The generator starts from a linear sketch (class mean plus principal components, see
:mod:`scanlens.synthesis.sketch`) and learns what to add to it: from noise alone, a few hundred steps on a
CPU make nothing recognisable. The class enters the generator through its normalisation layers (de Vries
et al. 2017, arXiv:1707.00683) and the discriminator through the projection of Miyato and Koyama (2018,
arXiv:1802.05637).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

BASE_SIDE = 4
"""Places along each axis of the coarsest grid."""
_WIDEST = 4
"""The coarsest levels have this many times the width of the finest one."""
CONVOLUTIONS: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
SLOPE = 0.2
"""Negative slope of every leaky ReLU."""
SKETCH_MARGIN = 0.005
"""The sketch is kept this far from 0 and 1, where the logit has no end."""
DETAIL_GAIN = 4
"""The discriminator sees fine detail (scan minus its local mean) this many times stronger beside the scan."""
_POOLS = {2: functional.avg_pool2d, 3: functional.avg_pool3d}


def working_side(shape: tuple[int, ...], max_side: int) -> int:
    """Side of the square or cube the networks work at.

    Args:
        shape: Spatial shape of the store's scans.
        max_side: Upper limit, at least 8.

    Returns:
        The smallest 4 * 2**n (n >= 1) that is no smaller than the longest side, or the largest one within
        ``max_side``.
    """
    side = 2 * BASE_SIDE
    while side < max(shape) and side * 2 <= max_side:
        side *= 2
    return side


def level_widths(side: int, width: int) -> list[int]:
    """Channels of each level, coarsest first: ``width`` at the finest, doubled at each coarser one.

    Args:
        side: Working side, 4 * 2**n.
        width: Channels of the finest level.

    Returns:
        n + 1 numbers, none above ``WIDEST * width``.
    """
    levels = (side // BASE_SIDE).bit_length()
    return [width * min(2**level, _WIDEST) for level in reversed(range(levels))]


class ClassNorm(nn.Module):
    """Batch normalisation whose scale and shift depend on the latent code and the class.

    Args:
        channels: Channels of the feature map.
        condition: Length of the condition vector.
    """

    def __init__(self, channels: int, condition: int) -> None:
        super().__init__()
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.scale_shift = nn.Linear(condition, 2 * channels)
        nn.init.normal_(self.scale_shift.weight, std=0.02)
        nn.init.zeros_(self.scale_shift.bias)

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        """Normalise ``(batch, channel, *spatial)`` and scale by ``condition`` ``(batch, condition)``."""
        normalised = functional.batch_norm(
            features, self.get_buffer("running_mean"), self.get_buffer("running_var"), training=self.training
        )
        scale, shift = self.scale_shift(condition).chunk(2, dim=1)
        spread = (*scale.shape, *[1] * (features.ndim - 2))
        return normalised * (1 + scale.view(spread)) + shift.view(spread)


class Generator(nn.Module):
    """Latent code and class to a made scan.

    Args:
        dims: 2 for images, 3 for volumes.
        channels: Channels of a scan.
        side: Working side, see :func:`working_side`.
        classes: Number of classes.
        latent: Length of the latent code.
        width: Channels of the finest level.
    """

    def __init__(self, dims: int, channels: int, side: int, classes: int, latent: int, width: int) -> None:
        super().__init__()
        self.arguments: dict[str, int] = {
            "dims": dims,
            "channels": channels,
            "side": side,
            "classes": classes,
            "latent": latent,
            "width": width,
        }
        convolution = CONVOLUTIONS[dims]
        widths = level_widths(side, width)
        condition = 2 * latent
        shape = (channels, *[side] * dims)
        self.register_buffer("mean", torch.full((classes, *shape), 0.5))
        self.register_buffer("basis", torch.zeros(latent, *shape))
        self.register_buffer("loading", torch.zeros(classes, latent, latent))
        self.embedding = nn.Embedding(classes, latent)
        self.grid = (BASE_SIDE,) * dims
        # Nearest neighbours leave visible blocks after the few steps a CPU has time for.
        self.upsampling = "bilinear" if dims == 2 else "trilinear"
        self.start = nn.Linear(condition, widths[0] * BASE_SIDE**dims)
        self.norms = nn.ModuleList(ClassNorm(count, condition) for count in widths)
        self.convolutions = nn.ModuleList(
            convolution(coarse + channels, fine, kernel_size=3, padding=1)
            for coarse, fine in pairwise(widths)
        )
        self.draw = convolution(widths[-1], channels, kernel_size=3, padding=1)
        nn.init.zeros_(self.draw.weight)
        if self.draw.bias is not None:
            nn.init.zeros_(self.draw.bias)

    def forward(self, latent: Tensor, labels: Tensor) -> Tensor:
        """Make scans.

        Args:
            latent: ``(batch, latent)``, standard normal.
            labels: ``(batch,)`` int64 class indices.

        Returns:
            ``(batch, channel, *spatial)`` in [0, 1].
        """
        sketch = self.sketch(latent, labels)
        condition = torch.cat([latent, self.embedding(labels)], dim=1)
        features = self.start(condition).unflatten(1, (-1, *self.grid))
        features = functional.leaky_relu(self.norms[0](features, condition), SLOPE)
        for norm, convolution in zip(list(self.norms)[1:], self.convolutions, strict=True):
            features = functional.interpolate(features, scale_factor=2, mode=self.upsampling)
            coarse = _POOLS[len(self.grid)](sketch, sketch.shape[-1] // features.shape[-1])
            features = torch.cat([features, 2 * coarse - 1], dim=1)
            features = functional.leaky_relu(norm(convolution(features), condition), SLOPE)
        return torch.sigmoid(torch.logit(sketch) + self.draw(features).float())

    def sketch(self, latent: Tensor, labels: Tensor) -> Tensor:
        """The linear start: class mean plus principal components weighted by the latent code.

        Args:
            latent: ``(batch, latent)``.
            labels: ``(batch,)``.

        Returns:
            float32 ``(batch, channel, *spatial)`` within ``SKETCH_MARGIN`` of 0 and 1.
        """
        basis = self.get_buffer("basis")
        # bf16 would keep 8 bits of an image here.
        with torch.autocast(latent.device.type, enabled=False):
            weights = torch.einsum("bij,bj->bi", self.get_buffer("loading")[labels], latent.float())
            parts = (weights @ basis.flatten(1)).unflatten(1, basis.shape[1:])
            return (self.get_buffer("mean")[labels] + parts).clamp(SKETCH_MARGIN, 1 - SKETCH_MARGIN)


class Discriminator(nn.Module):
    """How real a scan of a given class looks.

    Spectral normalisation (Miyato et al. 2018, arXiv:1802.05957) on every layer.

    Args:
        dims: 2 for images, 3 for volumes.
        channels: Channels of a scan.
        side: Working side, see :func:`working_side`.
        classes: Number of classes.
        width: Channels of the finest level.
    """

    def __init__(self, dims: int, channels: int, side: int, classes: int, width: int) -> None:
        super().__init__()
        convolution = CONVOLUTIONS[dims]
        self.pool = _POOLS[dims]
        widths = [2 * channels, *reversed(level_widths(side, width)[:-1])]
        self.convolutions = nn.ModuleList(
            spectral_norm(convolution(fine, coarse, kernel_size=4, stride=2, padding=1))
            for fine, coarse in pairwise(widths)
        )
        self.judge = spectral_norm(nn.Linear(widths[-1], 1))
        self.embedding = spectral_norm(nn.Embedding(classes, widths[-1]))

    def forward(self, scans: Tensor, labels: Tensor) -> Tensor:
        """Judge scans.

        Args:
            scans: ``(batch, channel, *spatial)`` in [0, 1].
            labels: ``(batch,)`` int64 class indices.

        Returns:
            ``(batch,)`` unbounded scores, larger for more real.
        """
        local_mean = self.pool(scans, 5, stride=1, padding=2, count_include_pad=False)
        features = torch.cat([2 * scans - 1, DETAIL_GAIN * (scans - local_mean)], dim=1)
        for convolution in self.convolutions:
            features = functional.leaky_relu(convolution(features), SLOPE)
        pooled = features.float().flatten(2).sum(dim=2)
        return self.judge(pooled).squeeze(1) + (self.embedding(labels) * pooled).sum(dim=1)

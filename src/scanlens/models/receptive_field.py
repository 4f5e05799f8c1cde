"""How much of a scan one cell of the last feature map sees: by construction, and in effect.

Both are read from a gradient: the pixels on which the middle unit depends.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers.std_conv import ScaledStdConv2d, StdConv2d
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.instancenorm import _InstanceNorm

from scanlens.models.baselines import EdgeFeatures

NORMS = (_BatchNorm, _InstanceNorm, nn.LayerNorm, nn.GroupNorm)
_ACTIVATIONS = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Hardswish, nn.Hardtanh, nn.Tanh, nn.Mish,
    nn.PReLU,
)  # fmt: skip
WIDTH = 32
"""Width of the strip on which the theoretical receptive field is measured; one cell of most networks."""
LENGTHS = (512, 2048, 8192)
"""Lengths of the strip, tried in turn until the field ends within it."""
THRESHOLD = 1 - 0.9545
"""Of the largest influence: what lies below is outside the effective receptive field (Luo et al. 2016)."""


def _as_given(module: nn.Module) -> Callable[..., Tensor]:
    return lambda values, *rest, **named: values


def _averaging(pool: nn.Module) -> Callable[[Tensor], Tensor]:
    """The mean over a max pooling's windows: every pixel of a window counts, not the largest alone."""
    window = {"kernel_size": pool.kernel_size, "stride": pool.stride, "padding": pool.padding}
    average = F.avg_pool2d if isinstance(pool, nn.MaxPool2d) else F.avg_pool3d
    return lambda values: average(values, **window, ceil_mode=bool(pool.ceil_mode))  # type: ignore[operator, arg-type]


def positive_copy(network: nn.Module) -> nn.Module:
    """A copy in which no influence can cancel: what a unit may depend on has a gradient above zero.

    Weights are positive and average their inputs, norms and activations hand on what they get, max pooling
    is average pooling; double precision, since the rim of a deep network's field weighs next to nothing.
    Norms over cells (group, instance) count as handing on, as is usual.

    Args:
        network: Stays as it is.
    """
    positive = copy.deepcopy(network).double().eval()
    with torch.no_grad():
        for name, parameter in positive.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
            else:
                parameter.fill_(1 / max(1, parameter[0].numel()) if parameter.ndim > 1 else 1)
    for module in list(positive.modules()):
        if isinstance(module, NORMS + _ACTIVATIONS) or "Act" in type(module).__name__:
            if not list(module.children()) or isinstance(module, NORMS):
                module.forward = _as_given(module)  # type: ignore[method-assign]
        elif isinstance(module, nn.Hardsigmoid) or "igmoid" in type(module).__name__:
            # A hard gate is flat beyond its range, and its gradient zero.
            module.forward = torch.sigmoid  # type: ignore[method-assign, assignment]
        elif isinstance(module, (nn.MaxPool2d, nn.MaxPool3d)) and "Same" not in type(module).__name__:
            module.forward = _averaging(module)  # type: ignore[method-assign, assignment]
        elif isinstance(module, (StdConv2d, ScaledStdConv2d)):
            # Standardised, equal weights would be zero.
            module.forward = _plain(module)  # type: ignore[method-assign]
    return positive


def _plain(conv: _ConvNd) -> Callable[[Tensor], Tensor]:
    return lambda values: conv._conv_forward(values, conv.weight, conv.bias)  # type: ignore[operator]


def _plane(value: Any) -> Any:
    """The part for the last two axes, however torch was given it."""
    return value if isinstance(value, int) else value[-2:]


def _flattened(module: nn.Module) -> Callable[[Tensor], Tensor] | None:
    """The same layer for the plane of a volume's last two axes; None where it knows no axes."""
    if isinstance(module, nn.Conv3d):
        stride, padding, dilation = map(_plane, (module.stride, module.padding, module.dilation))
        return lambda maps: F.conv2d(
            maps, module.weight[:, :, 0], module.bias, stride, padding, dilation, module.groups
        )
    if isinstance(module, (nn.MaxPool3d, nn.AvgPool3d)):
        kernel, stride, padding = map(_plane, (module.kernel_size, module.stride, module.padding))
        return lambda maps: F.avg_pool2d(maps, kernel, stride, padding, module.ceil_mode)
    if isinstance(module, nn.AdaptiveAvgPool3d):
        return lambda maps: F.adaptive_avg_pool2d(maps, 1)
    if isinstance(module, nn.ConstantPad3d):
        return lambda maps: F.pad(maps, module.padding[:4])
    return None


def _in_plane(positive: nn.Module) -> None:
    """Make a positive copy of a network for volumes one for images, in place: strips of images are cheap."""
    for module in positive.modules():
        if isinstance(module, EdgeFeatures):
            module.dims, module.kernels = 2, module.kernels[:, :, 0]
        elif flat := _flattened(module):
            module.forward = flat  # type: ignore[method-assign]


def _influence(backbone: nn.Module, scans: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Gradient of the middle unit of the last feature map on the scans, all features summed.

    With a generator they are summed by random weights: the plain sum of what a layer normalisation gives is
    the same for every scan, so its gradient is rounding alone.
    """
    scans = scans.requires_grad_()
    with torch.enable_grad():
        maps = backbone(scans)
        middle = maps[(slice(None), slice(None), *(side // 2 for side in maps.shape[2:]))]
        if generator is not None:
            middle = middle * torch.randn(middle.shape, generator=generator)
        (gradient,) = torch.autograd.grad(middle.sum(), scans)
    return gradient.abs().sum(1)


def theoretical(backbone: nn.Module, channels: int, dims: int = 2) -> int | None:
    """Side of the region that a cell can see, in pixels; None where no end was found.

    Measured along a strip, since a field is as wide as high in all networks here. Squeeze-and-excitation and
    attention see the whole scan whatever its size: their field has no end. Networks that refuse strips
    (their windows or tokens are laid out for one size) attend too.

    Args:
        backbone: Of any network.
        channels: Of its scans.
        dims: 2, or 3: then of the plane of the last two axes.
    """
    # A pre-hook resizes scans for networks of one size; all of these attend to the whole scan.
    if backbone._forward_pre_hooks or hasattr(backbone, "patch_embed"):
        return None
    positive = positive_copy(backbone)
    if dims == 3:
        _in_plane(positive)
    for length in LENGTHS:
        scans = torch.full((1, channels, length, WIDTH), 1e-3, dtype=torch.float64)
        try:
            seen = _influence(positive, scans)[0].sum(1).nonzero()
        except (AssertionError, RuntimeError, ValueError):
            return None
        if len(seen) == 0:
            return None
        first, last = int(seen.min()), int(seen.max())
        if first > 0 and last < length - 1:
            return last - first + 1
    return None


def effective(
    backbone: nn.Module, channels: int, size: tuple[int, ...], scans: int = 16, batch: int = 4, seed: int = 0
) -> tuple[Tensor, float]:
    """What a cell sees in effect, with the weights the network has.

    Luo et al. 2016, "Understanding the effective receptive field in deep convolutional neural networks":
    the mean over random scans of the absolute gradient of the middle unit; the field holds the pixels above
    4.55 % of its largest value, and its side is the root of their number.

    Args:
        backbone: In evaluation mode.
        channels: Of its scans.
        size: Of its scans.
        scans: Random scans (standard normal), more for a smoother mean.
        batch: Scans a pass.
        seed: Of the scans.

    Returns:
        Influence of each pixel ``size``, largest 1; and the field's side in pixels.
    """
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros(size)
    for _ in range(0, scans, batch):
        total += _influence(
            backbone, torch.randn(batch, channels, *size, generator=generator), generator
        ).sum(0)
    largest = float(total.max())
    share = total / largest if largest > 0 else total
    return share, float((share > THRESHOLD).sum()) ** (1 / len(size))

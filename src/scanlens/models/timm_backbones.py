"""Two-dimensional backbones from timm."""

from __future__ import annotations

import difflib
from typing import Any

import timm
from torch import nn

from scanlens.errors import SettingsError


def shrink_stem(network: nn.Module) -> None:
    """Make the stem keep resolution, in place: small images have none to give away.

    A first convolution of 7 x 7 becomes 3 x 3, its stride 1, and the pooling behind it goes (He et al.
    2016, section 4.2, do so for CIFAR). Patch-embedding stems (kernel = stride) stay as they are.
    """
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            parent = network.get_submodule(name.rpartition(".")[0])
            leaf = name.rpartition(".")[2]
            break
    else:
        return
    if module.kernel_size == module.stride:
        return
    # Larger kernels exist to summarise pixels that a small image does not have.
    kernel = 3 if module.kernel_size[0] > 3 else module.kernel_size[0]
    smaller = nn.Conv2d(
        module.in_channels, module.out_channels, kernel, 1, kernel // 2, bias=module.bias is not None
    )
    nn.init.kaiming_normal_(smaller.weight, mode="fan_out", nonlinearity="relu")
    setattr(parent, leaf, smaller)
    for pool_name, pool in network.named_modules():
        if isinstance(pool, nn.MaxPool2d):
            owner = network.get_submodule(pool_name.rpartition(".")[0])
            setattr(owner, pool_name.rpartition(".")[2], nn.Identity())
            break


def build_timm(name: str, channels: int, small: bool, args: dict[str, Any]) -> nn.Module:
    """A timm network without pooling and head.

    Args:
        name: Any name of ``timm.list_models()``.
        channels: Input channels.
        small: Whether to shrink the stem.
        args: Passed to the constructor.

    Raises:
        SettingsError: Where timm does not know the name or refuses the arguments.
    """
    if name not in timm.list_models():
        close = difflib.get_close_matches(name, timm.list_models(), 5)
        raise SettingsError(f"model.name {name} is unknown to timm.", f"Near: {', '.join(close) or 'none'}.")
    try:
        network = timm.create_model(
            name, pretrained=False, num_classes=0, global_pool="", in_chans=channels, **args
        )
    except TypeError as error:
        raise SettingsError(f"model.args do not fit {name}: {error}") from error
    if small:
        shrink_stem(network)
    return network

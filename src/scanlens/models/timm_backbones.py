"""Two-dimensional backbones from timm."""

from __future__ import annotations

import difflib
from typing import Any

import timm
from torch import nn

from scanlens.errors import SettingsError
from scanlens.models.architecture import Architecture


def shrink_stem(network: nn.Module, stride: int) -> None:
    """Make the stem keep resolution, in place: small images have none to give away.

    A first convolution of 7 x 7 becomes 3 x 3, and the pooling behind it goes (He et al. 2016, section 4.2,
    do so for CIFAR). Patch-embedding stems (kernel = stride) stay as they are.

    Args:
        network: Changed in place.
        stride: Of the first convolution.
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
        module.in_channels, module.out_channels, kernel, stride, kernel // 2, bias=module.bias is not None
    )
    nn.init.kaiming_normal_(smaller.weight, mode="fan_out", nonlinearity="relu")
    setattr(parent, leaf, smaller)
    for pool_name, pool in network.named_modules():
        if isinstance(pool, nn.MaxPool2d):
            owner = network.get_submodule(pool_name.rpartition(".")[0])
            setattr(owner, pool_name.rpartition(".")[2], nn.Identity())
            break


def _width_arguments(architecture: Architecture) -> dict[str, Any]:
    """Constructor arguments that scale the number of features."""
    if architecture.width == 1:
        return {}
    if not architecture.name.startswith("resnet"):
        raise SettingsError(
            f"model.width={architecture.width} fits ResNets only, not {architecture.name}.",
            "Use model.width=1",
        )
    return {"channels": [round(features * architecture.width) for features in (64, 128, 256, 512)]}


def build_timm(architecture: Architecture) -> nn.Module:
    """A timm network without pooling and head.

    Args:
        architecture: Its name may be any of ``timm.list_models()``.

    Raises:
        SettingsError: Where timm does not know the name or refuses the arguments.
    """
    name = architecture.name
    if name not in timm.list_models():
        close = difflib.get_close_matches(name, timm.list_models(), 5)
        raise SettingsError(f"model.name {name} is unknown to timm.", f"Near: {', '.join(close) or 'none'}.")
    arguments = {**_width_arguments(architecture), **architecture.args}
    try:
        network = timm.create_model(
            name, pretrained=False, num_classes=0, global_pool="", in_chans=architecture.channels, **arguments
        )
    except TypeError as error:
        raise SettingsError(f"model.args do not fit {name}: {error}") from error
    if getattr(network, "output_fmt", "NCHW") != "NCHW":
        raise SettingsError(
            f"model.name {name} gives its features last ({network.output_fmt}), the head takes them first.",
            "Choose a convolutional network.",
        )
    if architecture.stem != "standard":
        shrink_stem(network, 1 if architecture.stem == "small" else 2)
    return network

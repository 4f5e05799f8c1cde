"""Three-dimensional backbones from MONAI, cut before their pooling and head."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from monai.networks import nets
from torch import Tensor, nn

from scanlens.errors import SettingsError

RESNETS = {"resnet10": nets.resnet10, "resnet18": nets.resnet18, "resnet34": nets.resnet34, "resnet50": nets.resnet50}
DENSENETS = {"densenet121": nets.DenseNet121, "densenet169": nets.DenseNet169}
NAMES = (*RESNETS, *DENSENETS)


class ResNetFeatures(nn.Module):
    """MONAI's ResNet up to its last block: ``(batch, channel, *spatial)`` to ``(batch, feature, *grid)``."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        pool = nn.Identity() if network.no_max_pool else network.maxpool
        self.stem = nn.Sequential(network.conv1, network.bn1, network.act, pool)
        self.layers = nn.Sequential(network.layer1, network.layer2, network.layer3, network.layer4)

    def forward(self, scans: Tensor) -> Tensor:
        """Feature maps of the last block."""
        maps: Tensor = self.layers(self.stem(scans))
        return maps


class DenseNetFeatures(nn.Module):
    """MONAI's DenseNet up to its last norm, with the ReLU that stands in its class layers."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.layers = network.features

    def forward(self, scans: Tensor) -> Tensor:
        """Feature maps of the last block."""
        return F.relu(self.layers(scans))


def build_monai(name: str, dims: int, channels: int, small: bool, args: dict[str, Any]) -> nn.Module:
    """A MONAI network without pooling and head.

    Args:
        name: One of ``NAMES``.
        dims: Spatial dimensions, 2 or 3.
        channels: Input channels.
        small: Whether the stem keeps more resolution (ResNet only: 3-voxel kernel, no pooling).
        args: Passed to the constructor.

    Raises:
        SettingsError: Where the name is unknown here or the arguments do not fit.
    """
    try:
        if name in RESNETS:
            stem = {"conv1_t_size": 3, "conv1_t_stride": 2, "no_max_pool": True} if small else {"conv1_t_stride": 2}
            network = RESNETS[name](spatial_dims=dims, n_input_channels=channels, num_classes=1, **{**stem, **args})
            return ResNetFeatures(network)
        if name in DENSENETS:
            return DenseNetFeatures(DENSENETS[name](spatial_dims=dims, in_channels=channels, out_channels=1, **args))
    except TypeError as error:
        raise SettingsError(f"model.args do not fit {name}: {error}") from error
    raise SettingsError(f"model.name {name} has no {dims}-D form in MONAI here.", f"Choices: {', '.join(NAMES)}.")

"""Three-dimensional backbones from MONAI, cut before their pooling and head."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from monai.networks import nets
from torch import Tensor, nn

from scanlens.errors import SettingsError
from scanlens.models.architecture import Architecture

RESNETS = {
    "resnet10": nets.resnet10,
    "resnet18": nets.resnet18,
    "resnet34": nets.resnet34,
    "resnet50": nets.resnet50,
}
DENSENETS = {"densenet121": nets.DenseNet121, "densenet169": nets.DenseNet169}
NAMES = (*RESNETS, *DENSENETS)


class ResNetFeatures(nn.Module):
    """MONAI's ResNet up to its last block: ``(batch, channel, *spatial)`` to ``(batch, feature, *grid)``."""

    def __init__(self, network: nets.ResNet) -> None:
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

    def __init__(self, network: nets.DenseNet) -> None:
        super().__init__()
        self.layers: nn.Module = network.features

    def forward(self, scans: Tensor) -> Tensor:
        """Feature maps of the last block."""
        return F.relu(self.layers(scans))


# 3-D convolutions are dear: even the smallest stem halves the volume at once.
STEMS: dict[str, dict[str, Any]] = {
    "standard": {"conv1_t_stride": 2},
    "medium": {"conv1_t_size": 3, "conv1_t_stride": 2, "no_max_pool": True},
    "small": {"conv1_t_size": 3, "conv1_t_stride": 2, "no_max_pool": True},
}


def build_monai(architecture: Architecture) -> nn.Module:
    """A MONAI network without pooling and head.

    Args:
        architecture: Its name is one of ``NAMES``. DenseNets keep their own stem.

    Raises:
        SettingsError: Where the name is unknown here, or the arguments or the width do not fit.
    """
    name, dims, channels = architecture.name, len(architecture.size), architecture.channels
    try:
        if name in RESNETS:
            arguments = {**STEMS[architecture.stem], "widen_factor": architecture.width, **architecture.args}
            return ResNetFeatures(
                RESNETS[name](spatial_dims=dims, n_input_channels=channels, num_classes=1, **arguments)
            )
        if name in DENSENETS:
            if architecture.width != 1:
                raise SettingsError(
                    f"model.width={architecture.width} fits ResNets only, not {name}.", "Use model.width=1."
                )
            return DenseNetFeatures(
                DENSENETS[name](spatial_dims=dims, in_channels=channels, out_channels=1, **architecture.args)
            )
    except TypeError as error:
        raise SettingsError(f"model.args do not fit {name}: {error}") from error
    raise SettingsError(
        f"model.name {name} has no {dims}-D form in MONAI here.", f"Choices: {', '.join(NAMES)}."
    )

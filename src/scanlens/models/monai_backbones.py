"""Backbones from MONAI for volumes and images, cut before their pooling and head."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from monai.networks import nets
from monai.networks.nets.efficientnet import efficientnet_params
from torch import Tensor, nn

from scanlens.errors import SettingsError
from scanlens.models.architecture import Architecture
from scanlens.models.stems import REDUCTION, shrink_stem

RESNETS = {
    "resnet10": nets.resnet10,
    "resnet18": nets.resnet18,
    "resnet34": nets.resnet34,
    "resnet50": nets.resnet50,
    "resnet101": nets.resnet101,
    "resnet152": nets.resnet152,
}
DENSENETS = {"densenet121": nets.DenseNet121, "densenet169": nets.DenseNet169}
EFFICIENTNETS = ("efficientnet_b0", "efficientnet_b1", "efficientnet_b2")
_NAMES = (*RESNETS, *DENSENETS, *EFFICIENTNETS)
# The seven stages of Tan and Le 2019, table 1, as MONAI writes them: repeats, kernel, stride, expansion,
# features in and out, share of the squeeze-and-excitation layer.
STAGES = (
    "r1_k3_s11_e1_i32_o16_se0.25", "r2_k3_s22_e6_i16_o24_se0.25", "r2_k5_s22_e6_i24_o40_se0.25",
    "r3_k3_s22_e6_i40_o80_se0.25", "r3_k5_s11_e6_i80_o112_se0.25", "r4_k5_s22_e6_i112_o192_se0.25",
    "r1_k3_s11_e6_i192_o320_se0.25",
)  # fmt: skip


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


class EfficientNetFeatures(nn.Module):
    """MONAI's EfficientNet up to its head convolution."""

    def __init__(self, network: nets.EfficientNet) -> None:
        super().__init__()
        # Its memory-saving activation is a function of its own, which no exporter knows.
        network.set_swish(memory_efficient=False)
        stem = (network._conv_stem_padding, network._conv_stem, network._bn0, network._swish)
        head = (network._conv_head_padding, network._conv_head, network._bn1, network._swish)
        self.stem, self.layers, self.head = nn.Sequential(*stem), network._blocks, nn.Sequential(*head)

    def forward(self, scans: Tensor) -> Tensor:
        """Feature maps of the head convolution."""
        maps: Tensor = self.head(self.layers(self.stem(scans)))
        return maps


def _efficientnet(architecture: Architecture) -> nn.Module:
    """EfficientNet with the first strides taken back as far as the stem asks.

    The first convolution always halves: MONAI fixes its stride. The next halvings go instead.
    """
    dims, stages = len(architecture.size), list(STAGES)
    reduction, most = 32, REDUCTION[dims].get(architecture.stem, 32)
    if architecture.stem != "standard" and min(architecture.size) <= most:
        # One cell a side otherwise.
        most //= 2
    for index, stage in enumerate(stages):
        if reduction > most and "_s22_" in stage:
            stages[index] = stage.replace("_s22_", "_s11_")
            reduction //= 2
    width, depth, _, dropout, connect = efficientnet_params[architecture.name.replace("_", "-")]
    options = {"dropout_rate": dropout, "drop_connect_rate": connect, **architecture.args}
    return EfficientNetFeatures(
        nets.EfficientNet(
            stages, dims, architecture.channels, 1, width, depth, image_size=min(architecture.size), **options
        )
    )


def _network(architecture: Architecture) -> nn.Module:
    """The network with its own stem; EfficientNets with the one asked for."""
    name, dims, channels = architecture.name, len(architecture.size), architecture.channels
    if name in RESNETS:
        # MONAI's own first stride is 1; that of the paper is 2.
        arguments: dict[str, Any] = {
            "conv1_t_stride": 2, "widen_factor": architecture.width, **architecture.args
        }  # fmt: skip
        return ResNetFeatures(
            RESNETS[name](spatial_dims=dims, n_input_channels=channels, num_classes=1, **arguments)
        )
    if architecture.width != 1:
        raise SettingsError(
            f"model.width={architecture.width} fits ResNets only, not {name}.", "Use model.width=1."
        )
    if name in DENSENETS:
        return DenseNetFeatures(
            DENSENETS[name](spatial_dims=dims, in_channels=channels, out_channels=1, **architecture.args)
        )
    return _efficientnet(architecture)


def build_monai(architecture: Architecture) -> nn.Module:
    """A MONAI network without pooling and head.

    Args:
        architecture: Its name is one of ``NAMES``.

    Raises:
        SettingsError: Where the name is unknown here, or the arguments or the width do not fit.
    """
    name = architecture.name
    if name not in _NAMES:
        raise SettingsError(
            f"model.name {name} has no {len(architecture.size)}-D form in MONAI here.",
            f"Choices: {', '.join(_NAMES)}.",
        )
    try:
        network = _network(architecture)
    except (TypeError, ValueError, RuntimeError, AssertionError, LookupError, AttributeError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise SettingsError(f"model.args do not fit {name}: {reason}", "Check model.args.") from error
    if name not in EFFICIENTNETS:
        shrink_stem(network, architecture.stem, architecture.channels, architecture.size)
    return network

"""A plain convolutional network: twice convolution, batch norm and ReLU, then pooling, stage by stage.

It is the default because it learns from few scans. Up to 160 pixels its first layers see every one of them,
so a lesion of a few pixels is found before anything is thrown away; a ResNet's stem halves the image twice
first. Larger images are halved once, by the first convolution. Fewer poolings on small images, and never
down to a single place, keep the probability maps worth looking at.
"""

from __future__ import annotations

from torch import Tensor, nn

from scanlens.errors import SettingsError
from scanlens.models.architecture import Architecture

FEATURES = (16, 32, 64, 128)
"""Features of each stage at width 1."""
LEAST_GRID = 7
"""No pooling that would leave fewer places along the longest side."""


class PlainStage(nn.Module):
    """Two convolutions of 3 voxels a side, then optionally pooling by 2.

    Args:
        dims: 2 or 3.
        inputs: Features in.
        outputs: Features out.
        stride: Of the first convolution.
        pool: Whether the resolution is halved at the end.
    """

    def __init__(self, dims: int, inputs: int, outputs: int, stride: int, pool: bool) -> None:
        super().__init__()
        convolution, norm, pooling = (
            (nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d)
            if dims == 2
            else (nn.Conv3d, nn.BatchNorm3d, nn.MaxPool3d)
        )
        layers: list[nn.Module] = []
        for source, step in ((inputs, stride), (outputs, 1)):
            layers += [convolution(source, outputs, 3, step, padding=1, bias=False), norm(outputs), nn.ReLU()]
        self.layers = nn.Sequential(*layers, *([pooling(2)] if pool else []))

    def forward(self, maps: Tensor) -> Tensor:
        """``(batch, inputs, *spatial)`` to ``(batch, outputs, *grid)``."""
        result: Tensor = self.layers(maps)
        return result


def build_plain(architecture: Architecture) -> nn.Module:
    """The plain network without pooling and head.

    Args:
        architecture: Its ``width`` multiplies ``FEATURES``; the ``standard`` stem has stride 2, others 1.

    Raises:
        SettingsError: Where ``args`` are given: it has none.
    """
    if architecture.args:
        raise SettingsError(f"model.args do not fit cnn: {', '.join(architecture.args)}.", "It takes none.")
    dims, inputs, side = len(architecture.size), architecture.channels, max(architecture.size)
    stride = 2 if architecture.stem == "standard" else 1
    side = -(-side // stride)
    stages = []
    for features in FEATURES:
        outputs = max(1, round(features * architecture.width))
        pool = side // 2 >= LEAST_GRID
        stages.append(PlainStage(dims, inputs, outputs, stride, pool))
        stride = 1
        inputs, side = outputs, side // 2 if pool else side
    return nn.Sequential(*stages)

"""The layer-pattern network: ``INPUT → [[CONV → ACT]*N → POOL?]*M``, written out in ``model.args.blocks``.

What follows the last block, ``[FC → ACT]*K → CLASSIFIER``, is ``model.pooling``, ``model.hidden`` and
``model.head``, as for every network. The default network, LeNet and AlexNet are such patterns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor, nn

from scanlens.config.pattern import Block, Initial, read_pattern
from scanlens.errors import SettingsError
from scanlens.models.architecture import Architecture
from scanlens.models.classifier import ACTIVATIONS

STEMS = {"small": (5, 1), "medium": (7, 2)}
"""Largest kernel and stride of the first convolution by stem; ``standard`` leaves the pattern as written."""
_LEAST_GRID = 2
"""Cells along the shortest side that a pooling must leave, or these stems leave it out: one is no map."""


def build_pattern(architecture: Architecture) -> nn.Module:
    """The network of ``architecture.args`` without pooling over all cells and head.

    Args:
        architecture: Its ``width`` multiplies the filters, its ``stem`` bounds the first convolution as
            :data:`STEMS` says, and leaves out poolings as :data:`_LEAST_GRID` says.

    Raises:
        SettingsError: Where ``args`` are ill-formed, or a window is larger than the map it works on.
    """
    pattern = read_pattern(architecture.args)
    blocks = [
        replace(block, filters=max(1, round(block.filters * architecture.width))) for block in pattern.blocks
    ]
    if architecture.stem in STEMS:
        kernel, stride = STEMS[architecture.stem]
        first = blocks[0]
        blocks[0] = replace(first, kernel=min(first.kernel, kernel), stride=min(first.stride, stride))
        blocks = _without_late_poolings(blocks, architecture)
    network = build_blocks(blocks, architecture, norm=pattern.norm == "batch", dropout=pattern.dropout)
    initialise_pattern(network, pattern.initial, architecture.activation)
    return network


def build_blocks(
    blocks: Sequence[Block], architecture: Architecture, *, norm: bool, dropout: float = 0.0
) -> nn.Sequential:
    """The blocks as modules, one child each.

    Args:
        blocks: First to last, their filters final.
        architecture: Of the input and the activation.
        norm: Whether batch norm follows each convolution.
        dropout: Of whole feature maps, before each block but the first.

    Raises:
        SettingsError: Where a window is larger than the map it works on.
    """
    inputs, size = architecture.channels, architecture.size
    stages = []
    for number, block in enumerate(blocks):
        size = _grid(block, size, f"Block {number} of {architecture.name}")
        stages.append(
            PatternBlock(
                block, len(size), inputs, architecture.activation, norm=norm, dropout=dropout if number else 0
            )
        )
        inputs = block.filters
    return nn.Sequential(*stages)


def _without_late_poolings(blocks: list[Block], architecture: Architecture) -> list[Block]:
    """The blocks without the poolings that would leave fewer than ``LEAST_GRID`` cells along a side."""
    size, kept = architecture.size, []
    for number, block in enumerate(blocks):
        what = f"Block {number} of {architecture.name}"
        bare = replace(block, pool="none")
        cells = (min(_grid(bare, size, what)) - block.pool_size) // (block.pool_stride or block.pool_size) + 1
        kept.append(block if cells >= _LEAST_GRID else bare)
        size = _grid(kept[-1], size, what)
    return kept


def _grid(block: Block, size: tuple[int, ...], what: str) -> tuple[int, ...]:
    """The size of a block's result from that of its input."""
    for number, kernel in enumerate(block.kernels()):
        stride = 1 if number else block.stride
        if block.padding == "same":
            size = tuple(-(-side // stride) for side in size)
        else:
            size = _windows(size, kernel, stride, f"{what}: the kernel")
    if block.pool != "none":
        size = _windows(size, block.pool_size, block.pool_stride or block.pool_size, f"{what}: the pooling")
    return size


def _windows(size: tuple[int, ...], window: int, stride: int, what: str) -> tuple[int, ...]:
    if min(size) < window:
        shape = " x ".join(str(side) for side in size)
        raise SettingsError(
            f"{what} of {window} is larger than its map, {shape}.",
            "Fewer or smaller windows, padding: same, or a larger preprocess.size.",
        )
    return tuple((side - window) // stride + 1 for side in size)


class PatternBlock(nn.Module):
    """One block: dropout where wanted, convolutions with norm and activation, pooling where wanted.

    Args:
        block: What it is made of.
        dims: 2 or 3.
        inputs: Features in.
        activation: Key of :data:`scanlens.models.classifier.ACTIVATIONS`.
        norm: Whether batch norm follows each convolution.
        dropout: Probability of dropping a feature map of the input.
    """

    def __init__(
        self, block: Block, dims: int, inputs: int, activation: str, *, norm: bool, dropout: float
    ) -> None:
        super().__init__()
        volumes = dims == 3
        convolution = nn.Conv3d if volumes else nn.Conv2d
        layers: list[nn.Module] = []
        if dropout:
            layers.append(nn.Dropout3d(dropout) if volumes else nn.Dropout2d(dropout))
        for number, kernel in enumerate(block.kernels()):
            stride = 1 if number else block.stride
            padding = kernel // 2 if block.padding == "same" else 0
            layers.append(convolution(inputs, block.filters, kernel, stride, padding, bias=not norm))
            if norm:
                layers.append(nn.BatchNorm3d(block.filters) if volumes else nn.BatchNorm2d(block.filters))
            layers.append(ACTIVATIONS[activation]())
            inputs = block.filters
        if block.pool == "max":
            layers.append((nn.MaxPool3d if volumes else nn.MaxPool2d)(block.pool_size, block.pool_stride))
        elif block.pool == "average":
            layers.append((nn.AvgPool3d if volumes else nn.AvgPool2d)(block.pool_size, block.pool_stride))
        self.layers = nn.Sequential(*layers)

    def forward(self, maps: Tensor) -> Tensor:
        """``(batch, inputs, *spatial)`` to ``(batch, filters, *grid)``."""
        result: Tensor = self.layers(maps)
        return result


def initialise_pattern(network: nn.Module, initial: Initial, activation: str) -> None:
    """Draw the weights of convolutions and fully connected layers anew, biases zero; ``default`` leaves all.

    Args:
        network: Changed in place.
        initial: See :class:`Pattern`.
        activation: What follows each layer; it sets the scale.
    """
    if initial == "default":
        return
    for module in network.modules():
        if not isinstance(module, nn.Conv2d | nn.Conv3d | nn.Linear):
            continue
        slope = 0.01 if activation == "leaky_relu" else 0
        if initial == "he":
            nn.init.kaiming_normal_(module.weight, slope, nonlinearity=activation)  # type: ignore[arg-type]
        else:
            gain = nn.init.calculate_gain(activation, slope)  # type: ignore[arg-type]
            nn.init.xavier_uniform_(module.weight, gain)
        if module.bias is not None:
            nn.init.zeros_(module.bias)

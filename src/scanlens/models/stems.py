"""Stems by input size: a small scan has no pixels to give away before the first features are made.

Networks of the field were made for 224 to 331 px and halve a scan five times. Of a scan of 28 px nothing is
left then, and a lesson of few cells draws no map. So the first halvings are taken back (He et al. 2016,
section 4.2, do so for CIFAR) until no more than the stem's reduction remains, whichever family it is:

- ``standard``: the network's own.
- ``medium``: at most 16 pixels a cell.
- ``small``: at most 8 pixels a cell (volumes: 16, since 3-D convolutions are dear).

Of the first two halvings the second goes first: it is the pooling of ResNets, DenseNets and Inception. One
more goes where fewer than two cells a side would remain. Convolutions without padding get some as far as
the third halving, or they would eat a small scan. All this leaves every weight its shape, so weights from
elsewhere still load; in the ``small`` stem a first kernel of 7 becomes 3, to which such weights are resampled
(:func:`scanlens.models.checkpoints.resample_kernel`).
"""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

REDUCTION = {2: {"medium": 16, "small": 8}, 3: {"medium": 16, "small": 16}}
"""Most pixels a side that one cell of the grid may stand for, by dimensions and stem."""
LEAST_GRID = 2
"""Cells along the shortest side that a shrunk stem leaves, where two halvings less are enough for it."""
_POOLS = (nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool2d, nn.AvgPool3d)
_UNFIT = (RuntimeError, ValueError, TypeError, AssertionError)
"""What networks raise on scans of a size they do not take."""
PROBE = {2: 320, 3: 64}
"""Side of the scan that a network is looked at with; divisible by 32."""


@dataclass(frozen=True)
class Step:
    """A convolution or pooling as it was met in a forward pass.

    Attributes:
        name: Of the module.
        level: Halvings before it.
        halvings: That it makes itself.
        pooling: Whether it has no weights.
    """

    name: str
    level: int
    halvings: int
    pooling: bool


class Padded:
    """Forward pre-hook: zeros around the scan, one more behind than before where their number is odd.

    Args:
        total: Zeros along an axis.
        dims: 2 or 3.
    """

    def __init__(self, total: int, dims: int) -> None:
        self.amounts = [total // 2, total - total // 2] * dims

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Pad."""
        return (F.pad(inputs[0], self.amounts),)


class Subsampled:
    """Forward pre-hook: every ``step``-th pixel along each axis, which is all a strided 1 x 1 kernel reads.

    Args:
        step: The convolution's own stride, along both axes of an image.
    """

    def __init__(self, step: tuple[int, int]) -> None:
        self.step = step

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Leave pixels out."""
        return (inputs[0][:, :, :: self.step[0], :: self.step[1]],)


_BLOCK = 16
"""Input channels below which oneDNN's gradient of a strided 1 x 1 kernel writes beyond its memory."""


def subsample_narrow(network: nn.Module) -> None:
    """Give strided 1 x 1 convolutions of few input channels stride 1 on fewer pixels, in place.

    The same function and the same weights. With channels last oneDNN's gradient of their weights overwrites
    memory that is not its own (oneDNN issue 6035): colour scans in FastViT, MobileOne and RepVGG, and narrow
    ResNets, ended training on a processor in a crash, or went on with whatever was overwritten.

    Args:
        network: Of images; of volumes nothing is changed.
    """
    for module in network.modules():
        if not isinstance(module, nn.Conv2d):
            continue
        is_pointwise = set(module.kernel_size) == {1} and module.padding in (0, (0, 0))
        if is_pointwise and max(module.stride) > 1 and module.in_channels // module.groups < _BLOCK:
            module.register_forward_pre_hook(Subsampled((module.stride[0], module.stride[1])))
            module.stride = (1, 1)


def _first(value: int | tuple[int, ...]) -> int:
    """Kernel, stride or padding along the first axis, however torch was given it."""
    return value if isinstance(value, int) else value[0]


def on_meta(network: nn.Module, shape: tuple[int, ...]) -> torch.Size:
    """Shape of the features of scans ``(batch, channel, *spatial)``, worked out without any arithmetic."""
    with torch.inference_mode():
        maps: Tensor = network(torch.zeros(shape, device="meta"))
    return maps.shape


def steps(network: nn.Module, channels: int, dims: int) -> tuple[list[Step], int]:
    """Convolutions and poolings in the order they run, and the halvings of the whole network.

    Args:
        network: On the meta device, in evaluation mode.
        channels: Of its scans.
        dims: 2 or 3.
    """
    side, found, handles = PROBE[dims], [], []

    def note(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            level = round(math.log2(side / min(inputs[0].shape[2:])))
            stride = _first(module.stride)  # type: ignore[arg-type]
            found.append(Step(name, level, round(math.log2(stride)), isinstance(module, _POOLS)))

        return hook

    for name, module in network.named_modules():
        if isinstance(module, (_ConvNd, *_POOLS)):
            handles.append(module.register_forward_pre_hook(note(name)))
    try:
        grid = on_meta(network, (1, channels, *[side] * dims))[2:]
    finally:
        for handle in handles:
            handle.remove()
    return found, round(math.log2(side / max(1, min(grid))))


def _replace(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, leaf = name.rpartition(".")
    setattr(network.get_submodule(parent), leaf, module)


def _pad(module: nn.Module) -> None:
    """Give a convolution or pooling without padding what keeps its output at input size over stride."""
    if type(module).__name__.endswith("Same"):
        # TensorFlow's padding, which timm works out from the input in each pass.
        return
    kernel, stride = _first(module.kernel_size), _first(module.stride)  # type: ignore[arg-type]
    if isinstance(module, _ConvNd):
        if kernel > 1 and all(p == 0 for p in module.padding):
            if len(set(module.kernel_size)) == 1 and kernel % 2 == 0:
                # A patch: its windows met edge to edge and overlap now.
                module.register_forward_pre_hook(Padded(kernel - stride, len(module.kernel_size)))
            else:
                module.padding = tuple(side // 2 for side in module.kernel_size)
    elif kernel > 2 and _first(module.padding) == 0:  # type: ignore[arg-type]
        module.padding = kernel // 2  # type: ignore[assignment]


def _small_kernel(first: _ConvNd) -> _ConvNd:
    """3 wide in the place of a first convolution: larger kernels summarise pixels a small scan lacks."""
    kind = nn.Conv2d if len(first.kernel_size) == 2 else nn.Conv3d
    smaller = kind(
        first.in_channels, first.out_channels, 3, _first(first.stride), 1, bias=first.bias is not None
    )
    nn.init.kaiming_normal_(smaller.weight, mode="fan_out", nonlinearity="relu")
    return smaller


def take_back(network: nn.Module, found: list[Step], levels: set[int], small_kernel: bool) -> None:
    """Take back the halvings of some levels, in place.

    Args:
        network: Changed in place.
        found: From :func:`steps`.
        levels: The halvings to take back; 0 is the first.
        small_kernel: Whether a first kernel of more than 3 (not a patch) becomes 3.
    """
    for step in found:
        module = network.get_submodule(step.name)
        gone = len(levels.intersection(range(step.level, step.level + step.halvings)))
        alone = sum(other.level == step.level and other.halvings > 0 for other in found) == 1
        if gone and step.pooling and alone:
            _replace(network, step.name, nn.Identity())
            continue
        if gone:
            stride, old = 2 ** (step.halvings - gone), module.stride
            module.stride = (stride,) * len(old) if isinstance(old, tuple) else stride  # type: ignore[assignment]
        if step.level <= 2 and (gone or step.halvings < 2):
            _pad(module)
    first = network.get_submodule(found[0].name)
    kernel = _first(first.kernel_size) if isinstance(first, _ConvNd) else 0
    if small_kernel and isinstance(first, _ConvNd) and kernel > 3 and kernel % 2:
        _replace(network, found[0].name, _small_kernel(first))


@cache
def say_what_is_left(name: str, stem: str, size: tuple[int, ...], grid: tuple[int, ...]) -> None:
    """Warn, once a process, where a cell stands for more than twice what the stem promises.

    Args:
        name: Of the network.
        stem: That was asked for.
        size: Spatial size of its scans.
        grid: Cells of its last feature map.
    """
    most = REDUCTION[len(size)].get(stem)
    if most is None or (
        min(grid) >= LEAST_GRID and all(s <= 2 * most * g for s, g in zip(size, grid, strict=True))
    ):
        return
    cells, sides = (" x ".join(map(str, numbers)) for numbers in (grid, size))
    print(
        f"warning: {name} leaves {cells} cells of a scan of {sides}: its halvings can't be taken back "
        f"as far as model.stem={stem} asks. Maps will be coarse.",
        file=sys.stderr,
        flush=True,
    )


def shrink_stem(network: nn.Module, stem: str, channels: int, size: tuple[int, ...]) -> None:
    """Fit the first layers to the scan's size, in place.

    A network that can't do without its halvings, or takes scans of one size only, keeps its own stem;
    :func:`say_what_is_left` says so where it matters.

    Args:
        network: A backbone with feature maps ``(batch, feature, *grid)``.
        stem: ``standard``, ``medium`` or ``small``.
        channels: Of its scans.
        size: Spatial size of its scans.
    """
    if stem == "standard":
        return
    dims = len(size)
    bare = copy.deepcopy(network).to("meta").eval()
    try:
        found, halvings = steps(bare, channels, dims)
    except _UNFIT:
        return
    most = int(math.log2(REDUCTION[dims][stem]))
    for gone in range(max(0, min(2, halvings - most)), 3):
        levels = set(range(2 - gone, 2))
        trial = copy.deepcopy(bare)
        try:
            take_back(trial, found, levels, stem == "small")
            grid = on_meta(trial, (1, channels, *size))[2:]
        except _UNFIT:
            continue
        if min(grid) >= LEAST_GRID or gone == 2:
            take_back(network, found, levels, stem == "small")
            return

"""Target layers: which layers of a network keep cells, and a pass that is recorded from one of them on.

Maps of a layer need the layer's output and the gradient of the logits with respect to it, and nothing from
before it. So the network runs once, without recording up to the target layer and recording behind it; what
goes round the layer (shortcuts, dense connections) takes part as it is. The network is not changed, and what
follows may work in place: it is handed a copy.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from scanlens.errors import ScanlensError, SettingsError
from scanlens.methods.layers import find_layer
from scanlens.models.classifier import Classifier
from scanlens.models.ensemble import Ensemble, Network

if TYPE_CHECKING:
    from scanlens.models.timm_backbones import FeaturesFirst

Reading = Callable[[Tensor], Tensor]
"""From a layer's output, or its gradient, to ``(batch, feature, *grid)``."""
_FEW = 8
"""Layers that an error names."""
STRETCH = 2.0
"""Most that a grid's proportions may differ from the scan's; convolutions without padding change them."""
OTHERWISE = "Use `scanlens explain --method occlusion`, which needs no feature maps."
"""What to do where a network has none."""


@dataclass(frozen=True)
class SplitNetwork:
    """One pass, recorded from the target layer on.

    Attributes:
        layer: Full name of the target layer.
        features: Its output as it came, a leaf that the logits can be differentiated by.
        logits: ``(batch, class)``.
        read: How its output and gradient become ``(batch, feature, *grid)``.
    """

    layer: str
    features: Tensor
    logits: Tensor
    read: Reading


def split(network: Classifier, scans: Tensor, layer: str | None = None) -> SplitNetwork:
    """Run scans through a network, recording what follows the target layer.

    Args:
        network: In evaluation mode (no scan of a batch may depend on another), float32.
        scans: Standardised, ``(batch, channel, *spatial)``, float32.
        layer: Name of a module inside the backbone, with or without ``backbone.`` in front; None for the
            backbone's output.

    Raises:
        SettingsError: There is no such layer, it keeps no cells, runs more than once or leads nowhere; or
            the network has no feature maps.
        ScanlensError: The layer's output is not finite.
    """
    check_cells(network)
    name, module = find_layer(network, layer)
    leaves: list[Tensor] = []

    def cut(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
        if leaves:
            raise SettingsError(f"Layer {name} runs more than once in a pass.", "Choose the block around it.")
        if not isinstance(output, Tensor):
            raise SettingsError(
                f"Layer {name} gives a {type(output).__name__}, not a tensor.", _some(network, scans)
            )
        leaves.append(output.detach().clone().requires_grad_())
        torch.set_grad_enabled(True)  # until the pass ends
        return leaves[0].clone()

    with ExitStack() as stack:
        stack.enter_context(full_precision(scans))
        stack.callback(module.register_forward_hook(cut).remove)
        logits = network.to_logits(network(scans.clone()))
    if not leaves:
        raise SettingsError(f"Layer {name} does not run in a pass.", _some(network, scans))
    read = (
        _as_it_is if module is network.backbone else reading(network, leaves[0], len(scans), scans.shape[2:])
    )
    if read is None:
        shape = tuple(leaves[0].shape[1:])
        raise SettingsError(
            f"Layer {name} keeps no cells: it gives {shape} of a scan.", _some(network, scans)
        )
    check_features(read(leaves[0]), scans, name)
    return SplitNetwork(name, leaves[0], logits, read)


def full_precision(scans: Tensor) -> ExitStack:
    """Context of a pass without recording and without autocast, usable inside ``torch.inference_mode``."""
    stack = ExitStack()
    stack.enter_context(torch.inference_mode(False))
    stack.enter_context(torch.no_grad())
    stack.enter_context(torch.autocast(scans.device.type, enabled=False))
    return stack


def target_layers(network: Network, shape: Sequence[int]) -> list[str]:
    """Layers that maps can be drawn of, last to first.

    Args:
        network: In evaluation mode; of an ensemble the first member is looked into.
        shape: Of one scan, ``(channel, *spatial)``.

    Returns:
        Names within the backbone of modules that run once in a pass and whose output has more than one
        cell; the first of them is the nearest to the head. Found by a pass of one scan without content.
    """
    own = network.networks()[0] if isinstance(network, Ensemble) else network
    scan = torch.zeros(1, *shape, device=next(own.parameters()).device)
    keep: dict[str, bool] = {}

    def note(name: str) -> Callable[[nn.Module, object, object], None]:
        def hook(module: nn.Module, inputs: object, output: object) -> None:
            fits = isinstance(output, Tensor) and reading(own, output, 1, shape[1:]) is not None
            keep[name] = fits and name not in keep

        return hook

    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode())
        for name, module in own.backbone.named_modules():
            if name and not isinstance(module, (nn.Identity, nn.Dropout)):
                stack.callback(module.register_forward_hook(note(name)).remove)
        own.features(scan)
    return [name for name in reversed(keep) if keep[name]]


def check_cells(network: Classifier) -> None:
    """Refuse a network that looks at pixels without making features of them.

    Raises:
        SettingsError: Offering another method.
    """
    if isinstance(network.backbone, nn.Identity):
        raise SettingsError(
            "This network has no feature maps: its features are the pixels themselves.", OTHERWISE
        )


def check_features(features: Tensor, scans: Tensor, layer: str) -> None:
    """Refuse features that no map can be made of.

    Args:
        features: ``(batch, feature, *grid)`` of the target layer.
        scans: ``(batch, channel, *spatial)`` they are of.
        layer: Its name, for messages.

    Raises:
        SettingsError: They have no cells.
        ScanlensError: They are not finite.
    """
    if features.ndim != scans.ndim:
        raise SettingsError(
            f"This network has no feature maps: {layer} gives {tuple(features.shape[1:])} of a scan of "
            f"{tuple(scans.shape[1:])}, which keeps no cells.",
            OTHERWISE,
        )
    if not torch.isfinite(features).all():
        finite = features.flatten(1).isfinite().all(1)
        which = ", ".join(str(int(scan)) for scan in (~finite).nonzero()[:_FEW])
        if not torch.isfinite(scans).all():
            raise ScanlensError(
                f"Scan {which} of the batch holds values that are not finite: there is no map."
            )
        raise ScanlensError(
            f"Layer {layer} gives values that are not finite for scan {which} of the batch: there is no map.",
            "Train again with a lower training.lr or a smaller training.gradient_clip.",
        )


def one_cell(grid: Sequence[int]) -> str:
    """What to say of a map with a single cell; empty where there are more.

    Args:
        grid: Cells along each axis.
    """
    if math.prod(grid) > 1:
        return ""
    cells = " x ".join(map(str, grid))
    return (
        f"the feature maps have a single cell ({cells}), so the map says nothing about where. Choose an "
        "earlier layer, model.stem=small or a larger preprocess.size."
    )


@cache
def say_one_cell(grid: tuple[int, ...]) -> None:
    """Warn, once a process, of a map with a single cell."""
    if text := one_cell(grid):
        print(f"warning: {text}", file=sys.stderr, flush=True)


def _some(network: Classifier, scans: Tensor) -> str:
    """A few of the layers that would do."""
    found = target_layers(network, scans.shape[1:])
    if not found:
        return OTHERWISE
    more = f" and {len(found) - _FEW} more" if len(found) > _FEW else ""
    return (
        f"These do, last to first: {', '.join(found[:_FEW])}{more} (`scanlens model NAME` shows all layers)."
    )


def _as_it_is(output: Tensor) -> Tensor:
    return output


def _features_last(output: Tensor) -> Tensor:
    return output.permute(0, 3, 1, 2)


def reading(network: Classifier, output: Tensor, batch: int, size: Sequence[int]) -> Reading | None:
    """How a module's output is read as ``(batch, feature, *grid)``; None where it keeps no cells.

    Feature axes come first or last (ConvNeXt's and Swin's insides), and no tensor says which: the axes in
    the scan's proportions are the grid. Tokens are laid out as the backbone's own output is.
    """
    size, tokens = _layout(network.backbone, tuple(size))
    if output.shape[0] != batch:
        return None
    if tokens is not None and tokens.grid is not None:
        if output.ndim == 3 and output.shape[1] == tokens.prefix + math.prod(tokens.grid):
            return lambda values: tokens(network.backbone, (), values)
        return _as_it_is if output.shape[2:] == tokens.grid else None
    if output.ndim != len(size) + 2:
        return None
    first, last = output.shape[2:], output.shape[1:-1]
    if _in_proportion(first, size):
        return _as_it_is
    if len(size) == 2 and _in_proportion(last, size):
        return _features_last
    ratios = [side / cells for side, cells in zip(size, first, strict=True)]
    return _as_it_is if math.prod(first) > 1 and max(ratios) <= STRETCH * min(ratios) else None


def _in_proportion(grid: Sequence[int], size: Sequence[int]) -> bool:
    """Whether a grid of more than one cell has the scan's proportions to a cell."""
    ratio = (math.prod(size) / math.prod(grid)) ** (1 / len(size))
    return math.prod(grid) > 1 and all(abs(g - s / ratio) <= 1 for g, s in zip(grid, size, strict=True))


def _layout(backbone: nn.Module, size: tuple[int, ...]) -> tuple[tuple[int, ...], FeaturesFirst | None]:
    """Size of the scans that a backbone works on, and how it lays out its output, where it has to."""
    if not type(backbone).__module__.startswith("timm."):
        return size, None
    from scanlens.models.timm_backbones import FeaturesFirst, Resized

    resized = [hook.size for hook in backbone._forward_pre_hooks.values() if isinstance(hook, Resized)]
    layouts = [hook for hook in backbone._forward_hooks.values() if isinstance(hook, FeaturesFirst)]
    return resized[0] if resized else size, layouts[0] if layouts else None

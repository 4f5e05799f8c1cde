"""Two-dimensional backbones from timm: any name, whatever the layout of its features."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psutil
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scanlens.errors import SettingsError
from scanlens.models.architecture import Architecture
from scanlens.models.stems import LEAST_GRID, REDUCTION, shrink_stem

_OTHER = "Choose another network, such as resnet18 or convnext_tiny."
_WEIGHT_BYTES = 4


class Resized:
    """Forward pre-hook: scans as large as a network of one size takes them, so cells keep their share.

    Args:
        size: ``(height, width)``.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size

    def __call__(self, network: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Bilinear, pixel edges aligned."""
        return (F.interpolate(inputs[0], size=self.size, mode="bilinear", align_corners=False),)


class FeaturesFirst:
    """Forward hook: tokens or maps with features last become ``(batch, feature, height, width)``.

    Hooks, not a module around the network: its weights keep the names that weight files use.

    Args:
        prefix: Tokens before those of cells: class token, registers.
        grid: Cells of a network that gives tokens.
    """

    def __init__(self, prefix: int, grid: tuple[int, int] | None) -> None:
        self.prefix, self.grid = prefix, grid

    def __call__(self, network: nn.Module, inputs: tuple[Tensor, ...], maps: Tensor) -> Tensor:
        """Transpose."""
        if self.grid is None:
            return maps.permute(0, 3, 1, 2)
        return maps[:, self.prefix :].transpose(1, 2).unflatten(2, self.grid)


class Forgetful:
    """Forward hook: drops the attention biases that LeViT and its kin keep from a pass in evaluation.

    They would outlive a change of the weights, and a network that keeps some with gradients can't be copied.
    """

    def __call__(self, network: nn.Module, inputs: tuple[Tensor, ...], maps: Tensor) -> None:
        """Drop."""
        for module in network.modules():
            if hasattr(module, "attention_bias_cache"):
                module.attention_bias_cache = {}  # type: ignore[assignment]


def _width_arguments(architecture: Architecture) -> dict[str, Any]:
    """Constructor arguments that scale the number of features."""
    if architecture.width == 1:
        return {}
    if not architecture.name.startswith("resnet") or architecture.name.startswith("resnetv2"):
        raise SettingsError(
            f"model.width={architecture.width} fits ResNets only, not {architecture.name}.",
            "Use model.width=1",
        )
    return {"channels": [round(features * architecture.width) for features in (64, 128, 256, 512)]}


def _without_head(network: nn.Module) -> None:
    """Cut fully connected layers that stand before the pooling.

    VGG's (4096 features, 120 million weights) need 7 x 7 cells, and each sees the whole scan. Without them
    and the last pooling the maps are those of Zhou et al. 2016 (VGGnet-GAP, less its added convolution).
    """
    if isinstance(network, timm.models.vgg.VGG):
        network.pre_logits = nn.Identity()  # type: ignore[assignment]
        network.features[-1] = nn.Identity()


def _pass(network: nn.Module, size: tuple[int, int], channels: int) -> Any:
    """What the network gives of an empty scan; its mode stays."""
    was = network.training
    network.eval()
    with torch.inference_mode():
        maps = network(torch.zeros(1, channels, *size))
    network.train(was)
    return maps


def _lay_out(network: nn.Module, name: str, size: tuple[int, int], channels: int) -> bool:
    """Register :class:`FeaturesFirst` where the network's output asks for it.

    Returns:
        Whether it gives tokens, so that the grid holds for scans of this size alone.

    Raises:
        SettingsError: Where the output has no cells, or a single one.
    """
    maps = _pass(network, size, channels)
    features = [getattr(network, key, None) for key in ("num_features", "head_hidden_size", "embed_dim")]
    if isinstance(maps, Tensor) and maps.ndim == 4:
        last = str(getattr(network, "output_fmt", "")) == "NHWC" or (
            maps.shape[1] not in features and maps.shape[3] in features
        )
        if min(maps.shape[1:3] if last else maps.shape[2:]) >= LEAST_GRID:
            if last:
                network.register_forward_hook(FeaturesFirst(0, None))
            return False
    if isinstance(maps, Tensor) and maps.ndim == 3:
        prefix = int(getattr(network, "num_prefix_tokens", 0))
        for skipped in dict.fromkeys((prefix, 0, 1, 2)):
            cells = maps.shape[1] - skipped
            rows = round(math.sqrt(cells * size[0] / size[1])) if cells > 0 else 0
            columns = cells // max(1, rows)
            fits = rows * columns == cells and abs(rows / size[0] * size[1] - columns) < 1
            if fits and min(rows, columns) >= LEAST_GRID:
                network.register_forward_hook(FeaturesFirst(skipped, (rows, columns)))
                return True
    given = tuple(maps.shape[1:]) if isinstance(maps, Tensor) else f"a {type(maps).__name__} of {len(maps)}"
    raise SettingsError(
        f"model.name {name} has no spatial features: it gives {given} of a scan, not one map of cells.",
        f"Probability maps need them. {_OTHER}",
    )


def _sizes(architecture: Architecture, patch: int, own: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Sizes to try for a network that does not take any size: the next that fits, at last its own."""
    for multiple in (patch, 32, 64, 128):
        height, width = (max(1, math.ceil(side / multiple)) * multiple for side in architecture.size)
        yield height, width
    yield own


def _create(architecture: Architecture, arguments: dict[str, Any]) -> nn.Module:
    """A network without head; without pooling too, or cut before it where timm knows it with pooling only."""
    options = {"num_classes": 0, "in_chans": architecture.channels, **arguments}
    try:
        network = timm.create_model(architecture.name, pretrained=False, global_pool="", **options)
    except AssertionError:
        network = timm.create_model(architecture.name, pretrained=False, **options)
        network.forward = network.forward_features  # type: ignore[assignment]
    if any(hasattr(module, "attention_bias_cache") for module in network.modules()):
        network.register_forward_hook(Forgetful())
    return network


def _with_size(
    architecture: Architecture, arguments: dict[str, Any], own: tuple[int, int], is_fixed: bool
) -> nn.Module:
    """A network whose grid holds for one size (transformers), its patches fitted to the stem.

    Args:
        architecture: Of the network.
        arguments: Of its constructor.
        own: Size that timm made it for.
        is_fixed: Whether its constructor must be told of another size.
    """
    trials: list[tuple[dict[str, Any], tuple[int, int]]] = []
    network = _create(architecture, arguments)
    embed: Any = getattr(network, "patch_embed", None)
    has_patches = hasattr(embed, "patch_size")
    # Of a network that takes any multiple of its patch, wherever it keeps that.
    inner = [embed] if is_fixed else [embed, *network.modules()]
    side: Any = next((module.patch_size for module in inner if hasattr(module, "patch_size")), 32)
    patch = int(side if isinstance(side, int) else side[0])
    if architecture.stem != "standard" and "patch_size" not in arguments and has_patches:
        info: Any = getattr(network, "feature_info", None) or [{"reduction": patch}]
        reduction = max(patch, int(info[-1].get("reduction", patch)))
        smaller = max(1, patch * REDUCTION[2][architecture.stem] // reduction)
        if smaller < patch:
            for size in _sizes(architecture, smaller, own):
                trials.append(({"patch_size": smaller, "img_size": size}, size))
    trials += [({"img_size": size}, size) for size in _sizes(architecture, patch, own)]
    if not is_fixed:
        trials += [({}, size) for size in _sizes(architecture, patch, own)]
    for trial, size in trials:
        try:
            network = _create(architecture, {**trial, **arguments})
            _lay_out(network, architecture.name, size, architecture.channels)
            break
        except MemoryError:
            raise
        except Exception:  # whatever a hundred families say of a size or an argument that they do not take
            continue
    else:
        size, network = own, _create(architecture, arguments)
        _lay_out(network, architecture.name, size, architecture.channels)
    if size != architecture.size:
        network.register_forward_pre_hook(Resized(size))
    return network.train()


def _fit_size(network: nn.Module, architecture: Architecture, own: tuple[int, int]) -> None:
    """Resize scans, in place, for a convolutional network that does not take them or leaves a single cell.

    Of ``model.stem=standard`` a single cell is what was asked for.

    Raises:
        Exception: What the network says of scans of its own size.
    """
    least = 1 if architecture.stem == "standard" else LEAST_GRID
    for size in ((architecture.size[0], architecture.size[1]), *_sizes(architecture, 32, own)):
        try:
            grid = _pass(network, size, architecture.channels).shape[2:]
        except MemoryError:
            raise
        except Exception:  # as above
            if size == own:
                raise
            continue
        if min(grid) >= least or size == own:
            if size != architecture.size:
                network.register_forward_pre_hook(Resized(size))
            return


def _check_memory(architecture: Architecture, arguments: dict[str, Any]) -> None:
    """Refuse a network whose weights alone exceed the memory that is free: the system would end the program.

    Raises:
        SettingsError: With both numbers.
    """
    with torch.device("meta"):
        network = _create(architecture, arguments)
    weights = sum(weights.numel() for weights in network.parameters())
    free = psutil.virtual_memory().available
    if weights * _WEIGHT_BYTES > free:
        raise SettingsError(
            f"model.name {architecture.name} has {weights:,} weights, {weights * _WEIGHT_BYTES / 2**30:.1f} "
            f"GiB; {free / 2**30:.1f} GiB of memory are free.",
            _OTHER,
        )


def _takes_colour_only(architecture: Architecture, arguments: dict[str, Any], own: tuple[int, int]) -> bool:
    """Whether a network that failed works on scans of 3 channels."""
    if architecture.channels == 3:
        return False
    try:
        _pass(_create(replace(architecture, channels=3), arguments), own, 3)
    except Exception:  # it fails for another reason
        return False
    return True


def build_timm(architecture: Architecture) -> nn.Module:
    """A timm network without pooling and head: ``(batch, channel, height, width)`` to feature maps.

    Args:
        architecture: Its name may be any of ``timm.list_models()``.

    Raises:
        SettingsError: Where timm does not know the name, refuses the arguments or the scans, or there are no
            cells.
    """
    name = architecture.name
    if name not in timm.list_models():
        close = difflib.get_close_matches(name, timm.list_models(), 5)
        raise SettingsError(f"model.name {name} is unknown to timm.", f"Near: {', '.join(close) or 'none'}.")
    # VGG's fully connected layers are cut again: do not draw their 120 million weights.
    cut = {"mlp_ratio": 1 / 4096} if name.startswith("vgg") else {}
    arguments = {**cut, **_width_arguments(architecture), **architecture.args}
    cfg = timm.get_pretrained_cfg(name)
    own = (int(cfg.input_size[1]), int(cfg.input_size[2])) if cfg else (224, 224)
    is_fixed = cfg is not None and bool(cfg.fixed_input_size)
    try:
        _check_memory(architecture, arguments)
        if is_fixed:
            return _with_size(architecture, arguments, own, is_fixed)
        network = _create(architecture, arguments)
        _without_head(network)
        if _lay_out(network, name, own, architecture.channels):
            return _with_size(architecture, arguments, own, is_fixed)
        shrink_stem(network, architecture.stem, architecture.channels, architecture.size)
        _fit_size(network, architecture, own)
    except (SettingsError, MemoryError):
        raise
    except Exception as error:  # foreign code: each family refuses in its own way
        if _takes_colour_only(architecture, arguments, own):
            raise SettingsError(
                f"model.name {name} takes scans of 3 channels only, these have {architecture.channels}.",
                _OTHER,
            ) from error
        reason = (str(error) or type(error).__name__).splitlines()[0]
        if not architecture.args:
            raise SettingsError(f"timm can't build {name} here: {reason}", _OTHER) from error
        raise SettingsError(f"model.args do not fit {name}: {reason}", "Check model.args.") from error
    return network

"""From a name in the settings to a network; a bundle stores the arguments and calls the same function."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import nn

from scanlens.config.schema import Model
from scanlens.errors import SettingsError
from scanlens.models.architecture import Architecture
from scanlens.models.baselines import build_dense, build_edges
from scanlens.models.classifier import ACTIVATIONS, Classifier
from scanlens.models.depth import block_ends
from scanlens.models.heads import HEADS
from scanlens.models.layers import build_lean, build_plain, pooling_for
from scanlens.models.pattern import build_pattern, initialise_pattern, read_pattern
from scanlens.models.refine import FINER, REACH, Guide
from scanlens.models.stems import REDUCTION, say_what_is_left, subsample_narrow
from scanlens.tasks import task_of

OWN: dict[str, Callable[[Architecture], nn.Module]] = {
    "lean": build_lean,
    "cnn": build_plain,
    "pattern": build_pattern,
    "dense": build_dense,
    "edges": build_edges,
}
"""scanlens' own networks, for images and volumes."""
FOREIGN = {
    "pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir", "scriptable",
    "features_only", "feed_forward", "progress",
}  # fmt: skip
"""Constructor arguments that read files or the network, or change what a backbone gives back."""
DECIDED = {
    "in_chans", "in_channels", "n_input_channels", "spatial_dims", "num_classes", "out_channels",
    "global_pool",
}  # fmt: skip
"""Constructor arguments that the scans and the head decide."""
CHOICES = {
    "library": ("scanlens", "timm", "monai"),
    "stem": ("standard", *REDUCTION[2]),
    "head": tuple(HEADS),
    "pooling": ("average", "gem", "flatten"),
    "activation": tuple(ACTIVATIONS),
}
"""What the named values of an architecture may be; a stranger's bundle may say anything."""
MOST_FINER = 5
"""Cells of a guide along an axis for one of the last feature map, at most."""
_MOST_VALUES = 2**27
"""Of one scan, 512 MiB: a volume of 512 voxels a side."""
MOST = 65536
"""Largest whole number in ``args`` and width of a layer."""
SMALL_SIDE = {2: 64, 3: 32}
"""Longest side up to which ``stem: auto`` is ``small``, by dimensions."""
MEDIUM_SIDE = {2: 160, 3: 32}
"""Longest side up to which it is ``medium``; beyond it is ``standard``."""
PATTERN_MEDIUM_SIDE = {2: 160, 3: 96}
"""The same for layer patterns, whose written stem may be coarser than the other libraries' in 3-D."""


def resolve_model(
    model: Model,
    shape: tuple[int, ...],
    classes: int,
    task: str = "multiclass",
    scale: tuple[float, float] = (0.0, 1.0),
) -> Architecture:
    """Every ``auto`` of section ``model`` decided by the store's shape and task.

    Args:
        model: Section ``model``.
        shape: ``(channel, *spatial)`` of one scan in the store.
        classes: Number of labels.
        task: Of the store.
        scale: For task ``regression``: mean and standard deviation of the training split's numbers.
    """
    wanted = task_of(task)
    dims = len(shape) - 1
    library: str = model.library
    if library == "auto":
        library = "scanlens" if model.name in OWN else "timm" if dims == 2 else "monai"
    side = max(shape[1:])
    medium = (PATTERN_MEDIUM_SIDE if model.name == "pattern" else MEDIUM_SIDE)[dims]
    by_side = "small" if side <= SMALL_SIDE[dims] else "medium" if side <= medium else "standard"
    stem = by_side if model.stem == "auto" else model.stem
    pooling: str = model.pooling
    if pooling == "auto":
        pooling = pooling_for(shape[1:], stem) if model.name in ("lean", "cnn") else "average"
    return Architecture(
        name=model.name,
        library=library,
        stem=stem,
        width=model.width,
        channels=shape[0],
        size=shape[1:],
        classes=classes,
        dropout=model.dropout,
        head=wanted.head if model.head == "auto" else model.head,
        pooling=pooling,
        hidden=tuple(model.hidden),
        activation=model.activation,
        args=dict(model.args),
        centre=scale[0],
        spread=scale[1],
    )


def _whole_numbers(value: object) -> Iterator[int]:
    """Every whole number in nested lists and mappings."""
    if isinstance(value, int):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _whole_numbers(inner)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for inner in value:
            yield from _whole_numbers(inner)


def _check(architecture: Architecture) -> None:
    """Refuse what no network can be, before anything is built or allocated.

    Raises:
        SettingsError: Naming the value.
    """
    for key, known in CHOICES.items():
        if (value := getattr(architecture, key)) not in known:
            raise SettingsError(f"model.{key} is {value!r}.", f"Choices: {', '.join(known)}.")
    if not isinstance(architecture.args, Mapping):
        raise SettingsError(f"model.args is {architecture.args!r}.", "Expected names and values, or {}.")
    if refused := FOREIGN.intersection(architecture.args):
        raise SettingsError(
            f"model.args may not hold {', '.join(sorted(refused))}.", "First weights are chosen by transfer."
        )
    if refused := DECIDED.intersection(architecture.args):
        raise SettingsError(
            f"model.args may not hold {', '.join(sorted(refused))}: the scans and model.head decide.",
            "Leave it out.",
        )
    if any(number > MOST for number in _whole_numbers(architecture.args)):
        raise SettingsError(f"model.args hold a number above {MOST:,}.", "Use a smaller one.")
    if not all(1 <= width <= MOST for width in architecture.hidden):
        raise SettingsError(
            f"model.hidden is {list(architecture.hidden)}; expected widths of at least 1, at most {MOST}.",
            "Use [] for no hidden layers.",
        )
    sides = (architecture.channels, *architecture.size)
    if len(architecture.size) not in (2, 3) or min(sides) < 1 or math.prod(sides) > _MOST_VALUES:
        raise SettingsError(
            f"A scan of {' x '.join(map(str, sides))} (channels first) fits no network here.",
            f"Expected two or three sides and at most {_MOST_VALUES:,} values: change preprocess.size.",
        )
    if not HEADS[architecture.head].least_classes <= architecture.classes <= MOST:
        raise SettingsError(
            f"model.head={architecture.head} can't tell {architecture.classes} classes apart.",
            "Choose another head, or give every class scans.",
        )


def build(architecture: Architecture, seed: int = 0) -> Classifier:
    """A network with fresh weights; the same seed gives the same weights.

    Raises:
        SettingsError: On an unknown name, unfitting arguments, or a network without spatial features.
    """
    _check(architecture)
    dims = len(architecture.size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        backbone = _backbone(architecture)
        subsample_narrow(backbone)
        backbone.eval()
        try:
            with torch.inference_mode():
                grid = backbone(torch.zeros(1, architecture.channels, *architecture.size))
        except (AssertionError, RuntimeError, ValueError) as error:
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise SettingsError(
                f"model.name {architecture.name} does not take scans of size {architecture.size}: {reason}",
                "Change preprocess.size or choose another network.",
            ) from error
        if grid.ndim != dims + 2:
            raise SettingsError(
                f"model.name {architecture.name} has no spatial features: {grid.ndim - 2} axes, not {dims}.",
                "Probability maps need them: choose a convolutional network.",
            )
        if architecture.library != "scanlens":
            say_what_is_left(architecture.name, architecture.stem, architecture.size, tuple(grid.shape[2:]))
        network = Classifier(
            backbone,
            grid.shape[1],
            architecture.classes,
            architecture.dropout,
            head=architecture.head,
            pooling=architecture.pooling,
            cells=grid[0, 0].numel(),
            hidden=architecture.hidden,
            activation=architecture.activation,
            centre=architecture.centre,
            spread=architecture.spread,
            guides=_guides(backbone, architecture, tuple(grid.shape[2:])),
            dims=len(grid.shape) - 2,
        )
        if architecture.library == "scanlens" and architecture.name == "pattern":
            initialise_pattern(
                network.hidden, read_pattern(architecture.args).initial, architecture.activation
            )
    return network.train()


def _guides(backbone: nn.Module, architecture: Architecture, grid: tuple[int, ...]) -> tuple[Guide, ...]:
    """The last ends of blocks with as many cells as the last feature map, then with ever more.

    Transformers with tokens or features last have none, nor have networks of one block.
    """
    shapes: dict[str, tuple[int, ...]] = {}

    def note(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: object, output: object) -> None:
            shapes[name] = tuple(output.shape[2:]) if isinstance(output, torch.Tensor) else ()

        return hook

    ends = block_ends(backbone)
    handles = [backbone.get_submodule(end).register_forward_hook(note(end)) for end in ends]
    with torch.inference_mode():
        backbone(torch.zeros(1, architecture.channels, *architecture.size))
    for handle in handles:
        handle.remove()
    names: list[str] = []
    before: tuple[int, ...] = ()
    for end in reversed(ends):
        found = shapes.get(end, ())
        if len(found) != len(grid) or found == before:
            continue
        ratios = [fine / coarse for fine, coarse in zip(found, grid, strict=True)]
        # Features last would show as one axis that has grown out of all proportion.
        if (set(ratios) == {1} or min(ratios) > 1) and max(ratios) <= MOST_FINER:
            names.append(end)
            before = found
    return tuple(Guide(name, FINER if number else REACH) for number, name in enumerate(names))


def _backbone(architecture: Architecture) -> nn.Module:
    """The part before pooling, from whichever library has it."""
    if architecture.library == "scanlens":
        if architecture.name not in OWN:
            close = difflib.get_close_matches(architecture.name, OWN, 1)
            hint = f"Did you mean {close[0]}? " if close else ""
            raise SettingsError(
                f"model.library=scanlens has no {architecture.name}.", f"{hint}Choices: {', '.join(OWN)}."
            )
        return OWN[architecture.name](architecture)
    if architecture.library == "monai":
        from scanlens.models.monai_backbones import build_monai

        return build_monai(architecture)
    if len(architecture.size) != 2:
        raise SettingsError("timm has no networks for volumes.", "Use model.library=monai.")
    from scanlens.models.timm_backbones import build_timm

    return build_timm(architecture)

"""From a name in the settings to a network; a bundle stores the arguments and calls the same function."""

from __future__ import annotations

import torch

from scanlens.config.schema import Model
from scanlens.errors import SettingsError
from scanlens.models.architecture import Architecture
from scanlens.models.classifier import Classifier
from scanlens.models.layers import build_plain

PLAIN = "cnn"
"""Name of the network in :mod:`scanlens.models.layers`."""
FOREIGN = {
    "pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir", "scriptable",
    "features_only", "feed_forward", "progress",
}  # fmt: skip
"""Constructor arguments that read files or the network, or change what a backbone gives back."""
SMALL_SIDE = {2: 64, 3: 32}
"""Longest side up to which ``stem: auto`` is ``small``, by dimensions."""
MEDIUM_SIDE = {2: 160, 3: 32}
"""Longest side up to which it is ``medium``; beyond it is ``standard``."""


HEAD_OF_TASK = {
    "binary": "softmax", "multiclass": "softmax", "ordinal": "ordinal", "regression": "regression"
}  # fmt: skip
"""What ``model.head=auto`` means for each ``data.task``."""


def resolve(model: Model, shape: tuple[int, ...], classes: int, task: str = "multiclass") -> Architecture:
    """Every ``auto`` of section ``model`` decided by the store's shape and task.

    Args:
        model: Section ``model``.
        shape: ``(channel, *spatial)`` of one scan in the store.
        classes: Number of labels.
        task: Of the store.
    """
    dims = len(shape) - 1
    library: str = model.library
    if library == "auto":
        library = "scanlens" if model.name == PLAIN else "timm" if dims == 2 else "monai"
    side = max(shape[1:])
    by_side = "small" if side <= SMALL_SIDE[dims] else "medium" if side <= MEDIUM_SIDE[dims] else "standard"
    stem = by_side if model.stem == "auto" else model.stem
    return Architecture(
        name=model.name,
        library=library,
        stem=stem,
        width=model.width,
        channels=shape[0],
        size=shape[1:],
        classes=classes,
        dropout=model.dropout,
        head=HEAD_OF_TASK[task] if model.head == "auto" else model.head,
        pooling=model.pooling,
        hidden=tuple(model.hidden),
        activation=model.activation,
        args=dict(model.args),
    )


def build(architecture: Architecture, seed: int = 0) -> Classifier:
    """A network with fresh weights; the same seed gives the same weights.

    Raises:
        SettingsError: On an unknown name, unfitting arguments, or a network without spatial features.
    """
    dims = len(architecture.size)
    if refused := FOREIGN.intersection(architecture.args):
        raise SettingsError(
            f"model.args may not hold {', '.join(sorted(refused))}.", "First weights are chosen by transfer."
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if architecture.library == "monai":
            from scanlens.models.monai_backbones import build_monai

            backbone = build_monai(architecture)
        elif architecture.library == "scanlens":
            if architecture.name != PLAIN:
                raise SettingsError(
                    f"model.library=scanlens has no {architecture.name}.", f"Choices: {PLAIN}."
                )
            backbone = build_plain(architecture)
        elif dims != 2:
            raise SettingsError("timm has no networks for volumes.", "Use model.library=monai.")
        else:
            from scanlens.models.timm_backbones import build_timm

            backbone = build_timm(architecture)
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
        network = Classifier(
            backbone,
            grid.shape[1],
            architecture.classes,
            architecture.dropout,
            head=architecture.head,
            pooling=architecture.pooling,
            places=grid[0, 0].numel(),
            hidden=architecture.hidden,
            activation=architecture.activation,
        )
    return network.train()

"""From a name in the settings to a network. The bundle stores the same arguments and calls the same function."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch

from scanlens.config.schema import Model
from scanlens.errors import SettingsError
from scanlens.models.classifier import Classifier

SMALL_SIDE = {2: 64, 3: 32}
"""Longest side up to which ``stem: auto`` keeps resolution, by dimensions."""


@dataclass(frozen=True)
class Architecture:
    """All it takes to build a network again, as plain JSON values.

    Attributes:
        name: Registry name.
        library: ``timm`` or ``monai``.
        small: Whether the stem keeps resolution.
        channels: Input channels.
        size: Spatial size of the input, pixels or voxels.
        classes: Number of logits.
        dropout: Probability.
        args: Constructor arguments beyond these.
    """

    name: str
    library: str
    small: bool
    channels: int
    size: tuple[int, ...]
    classes: int
    dropout: float
    args: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Plain values for ``model.json`` and ``bundle.json``."""
        return {**asdict(self), "size": list(self.size)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Architecture:
        """The inverse of :meth:`to_json`."""
        return cls(**{**values, "size": tuple(values["size"])})


def resolve(model: Model, shape: tuple[int, ...], classes: int) -> Architecture:
    """Every ``auto`` of section ``model`` decided by the store's shape.

    Args:
        model: Section ``model``.
        shape: ``(channel, *spatial)`` of one scan in the store.
        classes: Number of labels.
    """
    dims = len(shape) - 1
    library = model.library if model.library != "auto" else ("timm" if dims == 2 else "monai")
    small = max(shape[1:]) <= SMALL_SIDE[dims] if model.stem == "auto" else model.stem == "small"
    return Architecture(model.name, library, small, shape[0], shape[1:], classes, model.dropout, dict(model.args))


def build(architecture: Architecture, seed: int = 0) -> Classifier:
    """A network with fresh weights; the same seed gives the same weights.

    Raises:
        SettingsError: On an unknown name, unfitting arguments, or a network without spatial features.
    """
    dims = len(architecture.size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if architecture.library == "monai":
            from scanlens.models.monai_backbones import build_monai

            backbone = build_monai(
                architecture.name, dims, architecture.channels, architecture.small, architecture.args
            )
        elif dims != 2:
            raise SettingsError("timm has no networks for volumes.", "Use model.library=monai.")
        else:
            from scanlens.models.timm_backbones import build_timm

            backbone = build_timm(architecture.name, architecture.channels, architecture.small, architecture.args)
        backbone.eval()
        with torch.inference_mode():
            grid = backbone(torch.zeros(1, architecture.channels, *architecture.size))
        if grid.ndim != dims + 2:
            raise SettingsError(
                f"model.name {architecture.name} has no spatial features ({grid.ndim - 2} axes, expected {dims}).",
                "Probability maps need them: choose a convolutional network.",
            )
        network = Classifier(backbone, grid.shape[1], architecture.classes, architecture.dropout)
    return network.train()

"""Networks small enough to be looked into in a moment, with weights that make their logits differ."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from scanlens.models.architecture import Architecture
from scanlens.models.classifier import Classifier
from scanlens.models.registry import build

SIZES = {2: (16, 12), 3: (8, 8, 6)}


def small_architecture(dims: int = 2, **changes: Any) -> Architecture:
    """The default network, narrow, with three classes; keywords replace the rest."""
    default: dict[str, Any] = {
        "name": "cnn", "library": "scanlens", "stem": "small", "width": 0.25, "channels": 1,
        "size": SIZES[dims], "classes": 3, "dropout": 0.2, "head": "softmax", "pooling": "average",
        "hidden": (), "activation": "relu", "args": {},
    }  # fmt: skip
    return Architecture(**{**default, **changes})


def small_network(dims: int = 2, seed: int = 0, **changes: Any) -> Classifier:
    """Built, in evaluation mode, with norms that fit noise and logits that differ by whole units."""
    made = small_architecture(dims, **changes)
    network = build(made, seed)
    with torch.no_grad():
        for step in range(20):
            network(noise(8, made.channels, made.size, seed + step))
        generator = torch.Generator().manual_seed(seed)
        for module in (*network.hidden, network.head):
            for weights in module.parameters():
                if weights.ndim == 2:
                    weights.copy_(4 * torch.randn(weights.shape, generator=generator))
    return network.eval()


def noise(count: int, channels: int, size: tuple[int, ...], seed: int = 0) -> Tensor:
    """Standardised scans ``(count, channel, *size)``."""
    return torch.randn(count, channels, *size, generator=torch.Generator().manual_seed(seed))

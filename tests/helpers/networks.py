"""Networks small enough to be looked into in a moment, with weights that make their logits differ."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scanlens.atomic import write_json, write_text
from scanlens.inference.bundle import CARD, FORMAT, WEIGHTS, identity, sha256
from scanlens.models.architecture import Architecture
from scanlens.models.classifier import Classifier
from scanlens.models.ensemble import Ensemble
from scanlens.models.registry import build
from scanlens.models.weights import save_weights
from scanlens.preprocess.preprocessor import Preprocessor
from tests.helpers.tiny import CHECKS

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


def small_bundle(
    folder: Path, dims: int = 2, task: str = "multiclass", members: int = 1, **changes: Any
) -> Path:
    """A bundle of an untrained small network, without ONNX; keywords change its architecture.

    The classes are called ``normal``, ``left`` and ``right``; a number is called ``age``.
    """
    made = small_architecture(dims, **changes)
    networks = [small_network(dims, seed, **changes) for seed in range(members)]
    folder.mkdir(parents=True)
    digest = save_weights(networks[0] if members == 1 else Ensemble(networks), folder / WEIGHTS)
    write_text(folder / CARD, "A test's bundle.\n")
    preprocessor = Preprocessor(made.size, made.channels, "pad", "minmax", (0.5, 99.5), None, dims)
    description: dict[str, Any] = {
        "format": FORMAT,
        "name": "small",
        "labels": ["age"] if task == "regression" else ["normal", "left", "right"][: made.classes],
        "task": task,
        "dims": dims,
        "architecture": made.to_json(),
        "members": members,
        "preprocessor": preprocessor.to_json(),
        "statistics": {"mean": [0.4] * made.channels, "std": [0.2] * made.channels},
        "calibration": {"method": "temperature", "temperature": 1.7},
        "checks": asdict(CHECKS),
        "lineage": {},
        "versions": {},
    }
    description["bundle_id"] = identity(description, digest)
    description["files"] = {path.name: sha256(path) for path in sorted(folder.iterdir())}
    write_json(folder / "bundle.json", description)
    return folder

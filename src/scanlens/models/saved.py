"""A trained network on disk: ``model.safetensors`` and the ``model.json`` that rebuilds and feeds it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from scanlens.atomic import write_json
from scanlens.models.architecture import Architecture
from scanlens.models.classifier import Classifier
from scanlens.models.registry import build
from scanlens.models.weights import read_weights, save_weights


def save_model(
    folder: Path,
    network: Classifier,
    architecture: Architecture,
    labels: list[str],
    statistics: dict[str, Any],
    facts: dict[str, Any],
) -> str:
    """Write weights and description.

    Args:
        folder: Receives both files.
        network: Trained.
        architecture: What rebuilds it.
        labels: Class names in the logits' order.
        statistics: Mean and standard deviation a channel that its input is standardised with.
        facts: Further plain values for the description.

    Returns:
        SHA-256 of the weights file.
    """
    digest = save_weights(network, folder / "model.safetensors")
    description = {
        "architecture": architecture.to_json(),
        "labels": labels,
        "statistics": statistics,
        "weights_sha256": digest,
        **facts,
    }
    write_json(folder / "model.json", description)
    return digest


def load_model(folder: Path) -> tuple[Classifier, dict[str, Any]]:
    """The network that :func:`save_model` wrote, in evaluation mode, and its description."""
    description = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    network = build(Architecture.from_json(description["architecture"]))
    network.load_state_dict(read_weights(folder / "model.safetensors"))
    return network.eval(), description

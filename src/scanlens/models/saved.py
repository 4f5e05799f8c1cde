"""A trained network on disk: ``model.safetensors`` and the ``model.json`` that rebuilds and feeds it."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors.torch import save

from scanlens.atomic import replacing, write_json
from scanlens.errors import SettingsError
from scanlens.models.architecture import Architecture
from scanlens.models.classifier import Classifier
from scanlens.models.ensemble import Network, rebuild
from scanlens.models.weights import read_weights, save_weights

_WEIGHTS = "model.safetensors"
_DESCRIPTION = "model.json"
HISTORY = "history.csv"
"""One row of metrics an epoch."""
JUDGED = "judged.csv"
"""Of several members: which scan (``scan_id``) was validated on by which (``member``)."""
_SAME = ("architecture", "labels", "statistics")
"""What members must have in common."""


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
    digest = save_weights(network, folder / _WEIGHTS)
    description = {
        "architecture": architecture.to_json(),
        "labels": labels,
        "statistics": statistics,
        "weights_sha256": digest,
        **facts,
    }
    write_json(folder / _DESCRIPTION, description)
    return digest


def load_model(folder: Path) -> tuple[Network, dict[str, Any]]:
    """The network that one of the two functions here wrote, in evaluation mode, and its description."""
    description = _describe(folder)
    architecture = Architecture.from_json(description["architecture"])
    network = rebuild(architecture, description.get("members", 1), read_weights(folder / _WEIGHTS))
    return network, description


def join_members(sources: Sequence[Path], output: Path) -> str:
    """Make one network of several that were trained apart.

    One member is copied as it is. Of several the weights' names start with ``members.K.``, and the histories
    follow each other, told apart by a column ``member``.

    Args:
        sources: Folders of the members, in order.
        output: Receives weights, description, history and, of several, who judged which scan.

    Returns:
        SHA-256 of the weights file.

    Raises:
        SettingsError: Where a member is missing, or they do not fit together.
    """
    descriptions = [_describe(folder) for folder in sources]
    first = descriptions[0]
    output.mkdir(parents=True, exist_ok=True)
    if len(sources) == 1:
        for name in (_WEIGHTS, _DESCRIPTION, HISTORY):
            shutil.copyfile(sources[0] / name, output / name)
        return str(first["weights_sha256"])
    for folder, other in zip(sources, descriptions, strict=True):
        if differing := [key for key in _SAME if other[key] != first[key]]:
            raise SettingsError(
                f"{folder}: its {differing[0]} is not that of the other members.", "Train again."
            )
    state: dict[str, torch.Tensor] = {}
    for number, folder in enumerate(sources):
        weights = read_weights(folder / _WEIGHTS)
        state.update({f"members.{number}.{name}": tensor for name, tensor in weights.items()})
    with replacing(output / _WEIGHTS) as temporary:
        temporary.write_bytes(save(state))
    digest = hashlib.sha256((output / _WEIGHTS).read_bytes()).hexdigest()
    write_json(
        output / _DESCRIPTION,
        {
            **{key: first[key] for key in _SAME},
            "members": len(sources),
            "weights_sha256": digest,
            "weights_of_members": [one["weights_sha256"] for one in descriptions],
            "best_epochs": [one["best_epoch"] for one in descriptions],
            "first_weights": first["first_weights"],
        },
    )
    tables = [pd.read_csv(folder / HISTORY).assign(member=k) for k, folder in enumerate(sources)]
    pd.concat(tables).to_csv(output / HISTORY, index=False)
    judged = pd.concat([pd.read_csv(folder / JUDGED, dtype={"scan_id": str}) for folder in sources])
    judged.to_csv(output / JUDGED, index=False)
    return digest


def judges(folder: Path) -> pd.Series:
    """By scan_id, the member that validated on it and never learnt from it; empty of one network."""
    path = folder / JUDGED
    if not path.is_file():
        return pd.Series(dtype="int64", index=pd.Index([], dtype=object))
    return pd.read_csv(path, dtype={"scan_id": str}).set_index("scan_id")["member"]


def _describe(folder: Path) -> dict[str, Any]:
    path = folder / _DESCRIPTION
    if not path.is_file():
        raise SettingsError(f"{path}: no trained network here.", "Run stage ensemble first.")
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content

"""Stage training: from the store to a trained network."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

import scanlens
from scanlens.augmentation.policy import build_policy
from scanlens.config.schema import Augmentation, Model, Training, Transfer
from scanlens.models.classifier import Classifier
from scanlens.models.registry import build, resolve
from scanlens.models.saved import save_model
from scanlens.models.transfer import initialise
from scanlens.preprocess.store import Store
from scanlens.scaling.device import Machine
from scanlens.training.callbacks import EpochHook
from scanlens.training.datamodule import Part, ScanBatches
from scanlens.training.fit import fit
from scanlens.training.recipe import training_recipe

CHECKPOINTS = Path(".scanlens/checkpoints")
"""Outside DVC's outputs and keyed by a hash: a kept output would leak from one experiment into the next."""


def checkpoint_folder(*facts: Any) -> Path:
    """A folder for a fit of exactly these settings and data."""
    text = json.dumps([scanlens.__version__, torch.__version__, *facts], sort_keys=True, default=str)
    return CHECKPOINTS / hashlib.sha256(text.encode()).hexdigest()[:16]


def train(
    folders: dict[str, Path],
    model: Model,
    transfer: Transfer,
    training: Training,
    augmentation: Augmentation,
    machine: Machine,
    output: Path,
    listener: EpochHook | None = None,
) -> dict[str, Any]:
    """Train on the training split (with the bank and made scans as set), choose by the validation split.

    Args:
        folders: Of ``store``, ``bank``, ``synthetic`` and ``pretrained``.
        model: The network.
        transfer: Its first weights.
        training: The loop.
        augmentation: Its policy changes every scan anew each epoch.
        machine: Device and precision.
        output: Receives ``model.safetensors``, ``model.json`` and ``history.csv``.
        listener: Called with each epoch's metrics.

    Returns:
        Facts for the report.
    """
    store = Store.open(folders["store"])
    parts = [Part(store, store.rows("train"))]
    for use, name in ((training.use_bank, "bank"), (training.use_synthetic, "synthetic")):
        if use:
            made = Store.open(folders[name])
            parts.append(Part(made, np.arange(len(made))))
    architecture = resolve(model, store.shape, len(store.labels))
    network = build(architecture, training.seed)
    loaded = initialise(network, architecture, transfer, folders["pretrained"] / "model.safetensors")
    policy = (
        build_policy(augmentation.policy, len(store.shape) - 1, store.shape[0]) if training.augment else None
    )
    batches = ScanBatches(parts, store.statistics, policy)
    recipe = training_recipe(training, transfer)
    checkpoints = checkpoint_folder(
        asdict(recipe), asdict(augmentation), architecture.to_json(), asdict(transfer), machine.precision,
        [[part.store.digest, len(part.rows)] for part in parts], _digest(network),
    )  # fmt: skip
    val = ScanBatches([Part(store, store.rows("val"))], store.statistics, None)
    history, speed = fit(network, batches, val, recipe, machine, checkpoints, listener)
    best = int(history["val_loss"].to_numpy().argmin())
    facts = {"first_weights": transfer.source, "tensors_loaded": len(loaded), "best_epoch": best}
    digest = save_model(output, network, architecture, store.labels, store.statistics, facts)
    history.to_csv(output / "history.csv", index=False)
    counts = {
        "scans": len(batches),
        "epochs": len(history),
        "parameters": sum(p.numel() for p in network.parameters()),
    }
    best_row = {str(k): float(v) for k, v in history.iloc[best].items() if str(k).startswith("val_")}
    return {
        **counts, **facts, **best_row, "scans_per_second": speed, "device": machine.device,
        "precision": machine.precision, "weights_sha256": digest,
    }  # fmt: skip


def _digest(network: Classifier) -> str:
    """A hash of the first weights: other first weights, another fit."""
    digest = hashlib.sha256()
    for tensor in network.state_dict().values():
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()

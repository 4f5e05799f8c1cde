"""Stage pretraining: the network's first lessons, on made scans alone."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from scanlens.augmentation.policy import build_policy
from scanlens.config.schema import Augmentation, Model, Pretraining, Transfer
from scanlens.models.registry import build, resolve
from scanlens.models.weights import save_weights
from scanlens.preprocess.store import Store
from scanlens.scaling.device import Machine
from scanlens.training.datamodule import Part, ScanBatches
from scanlens.training.fit import fit
from scanlens.training.recipe import pretraining_recipe
from scanlens.training.run import checkpoint_folder


def pretrain(
    real: Path,
    synthetic: Path,
    model: Model,
    transfer: Transfer,
    pretraining: Pretraining,
    augmentation: Augmentation,
    machine: Machine,
    output: Path,
) -> dict[str, Any]:
    """Train the network on the made scans and keep the weights.

    The real validation split chooses the epoch: made scans that teach nothing real show there. Where
    training starts elsewhere, or there is nothing to learn from, the fresh weights are kept, so that
    later stages find the file they expect.

    Args:
        real: Store of the real scans (validation and statistics).
        synthetic: Store of the made scans.
        model: The network.
        transfer: Made scans are learnt from only where it starts from pretraining.
        pretraining: The loop.
        augmentation: Its policy.
        machine: Device and precision.
        output: Receives ``model.safetensors`` and ``pretraining.csv``.

    Returns:
        Facts for the report.
    """
    store, made = Store.open(real), Store.open(synthetic)
    architecture = resolve(model, store.shape, len(store.labels))
    network = build(architecture, pretraining.seed)
    facts: dict[str, Any] = {"scans": len(made), "epochs": 0}
    if pretraining.epochs and len(made) and transfer.source == "pretraining":
        policy = build_policy(augmentation.policy, len(store.shape) - 1, store.shape[0])
        train = ScanBatches([Part(made, np.arange(len(made)))], store.statistics, policy)
        val = ScanBatches([Part(store, store.rows("val"))], store.statistics, None)
        recipe = pretraining_recipe(pretraining)
        checkpoints = checkpoint_folder(
            "pretraining", asdict(recipe), asdict(augmentation), architecture.to_json(), machine.precision,
            made.digest, store.digest,
        )  # fmt: skip
        history, _ = fit(network, train, val, recipe, machine, checkpoints)
        best = int(history["val_loss"].to_numpy().argmin())
        history.to_csv(output / "pretraining.csv", index=False)
        facts.update(epochs=len(history), val_auc=float(history["val_auc"].iloc[best]))
    else:
        (output / "pretraining.csv").write_text("epoch\n", encoding="utf-8")
    facts["weights_sha256"] = save_weights(network, output / "model.safetensors")
    return facts

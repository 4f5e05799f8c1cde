"""Stage pretraining: the network's first lessons, before the labels."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from scanlens.config.schema import Augmentation, Model, Pretraining, Transfer
from scanlens.models.registry import build, resolve_model
from scanlens.models.weights import save_weights
from scanlens.preprocess.store import Store
from scanlens.scaling.device import Machine


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
    """Train the network and keep the weights of its best epoch.

    ``supervised`` learns the labels of the made scans; the real validation split chooses the epoch: made
    scans that teach nothing real show there. ``self_supervised`` learns from the training split's scans and
    the made ones without any label, and the method's own loss on the validation scans chooses. Where
    training starts elsewhere, or there is nothing to learn from, the fresh weights are kept, so that later
    stages find the file they expect.

    Args:
        real: Store of the real scans.
        synthetic: Store of the made scans.
        model: The network.
        transfer: Nothing is learnt unless it starts from pretraining.
        pretraining: Method and loop.
        augmentation: Its policy changes the scans of ``supervised``.
        machine: Device and precision.
        output: Receives ``model.safetensors`` and ``pretraining.csv``.

    Returns:
        Facts for the report.
    """
    store, made = Store.open(real), Store.open(synthetic)
    architecture = resolve_model(model, store.shape, len(store.labels), store.task.name, store.number_scale)
    network = build(architecture, pretraining.seed)
    scans = len(made)
    if pretraining.method == "self_supervised":
        scans += len(store.rows("train"))
    facts: dict[str, Any] = {"method": pretraining.method, "scans": scans, "epochs": 0}
    if pretraining.epochs and scans and transfer.source == "pretraining":
        # Lightning takes seconds to import, and most runs have nothing to learn here.
        from scanlens.pretraining.learn import learn

        history = learn(network, architecture, store, made, pretraining, augmentation, machine)
        best = history.to_dict("records")[int(np.nanargmin(history["val_loss"].to_numpy()))]
        history.to_csv(output / "pretraining.csv", index=False)
        facts.update(epochs=len(history), best_epoch=int(best["epoch"]))
        # An AUC of one class is undefined, and JSON knows no NaN.
        facts |= {str(k): v for k, v in best.items() if str(k).startswith("val_") and math.isfinite(v)}
    else:
        (output / "pretraining.csv").write_text("epoch\n", encoding="utf-8")
    facts["weights_sha256"] = save_weights(network, output / "model.safetensors")
    return facts

"""Stage pretraining: the network's first lessons, before the labels."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from scanlens.augmentation.policy import build_policy
from scanlens.config.schema import Augmentation, Model, Pretraining, Transfer
from scanlens.models.classifier import Classifier
from scanlens.models.registry import build, resolve_model
from scanlens.models.weights import save_weights
from scanlens.preprocess.store import Store
from scanlens.scaling.device import Machine
from scanlens.training.auxiliary import AuxiliaryHeads
from scanlens.training.datamodule import Part, ScanBatches
from scanlens.training.fit import fit
from scanlens.training.recipe import pretraining_recipe
from scanlens.training.run import checkpoint_folder, number_scale


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
    architecture = resolve_model(model, store.shape, len(store.labels), store.task.name, number_scale(store))
    network = build(architecture, pretraining.seed)
    parts = [Part(made, np.arange(len(made)))]
    supervised = pretraining.method == "supervised"
    if not supervised:
        parts.insert(0, Part(store, store.rows("train")))
    scans = sum(len(part.rows) for part in parts)
    facts: dict[str, Any] = {"method": pretraining.method, "scans": scans, "epochs": 0}
    if pretraining.epochs and scans and transfer.source == "pretraining":
        changes = augmentation.policy if supervised else pretraining.policy
        policy = build_policy(changes, len(store.shape) - 1, store.shape[0])
        train = ScanBatches(parts, store.statistics, policy)
        val = ScanBatches([Part(store, store.rows("val"))], store.statistics, None if supervised else policy)
        checkpoints = checkpoint_folder(
            "pretraining", asdict(pretraining), asdict(changes), architecture.to_json(), machine.precision,
            made.digest, store.digest,
        )  # fmt: skip
        if supervised:
            history, _ = fit(network, train, val, pretraining_recipe(pretraining), machine, checkpoints)
        else:
            history = _learn_views(network, train, val, pretraining, machine, checkpoints)
        best = history.to_dict("records")[int(np.nanargmin(history["val_loss"].to_numpy()))]
        history.to_csv(output / "pretraining.csv", index=False)
        facts.update(epochs=len(history), best_epoch=int(best["epoch"]))
        # An AUC of one class is undefined, and JSON knows no NaN.
        facts |= {str(k): v for k, v in best.items() if str(k).startswith("val_") and math.isfinite(v)}
    else:
        (output / "pretraining.csv").write_text("epoch\n", encoding="utf-8")
    facts["weights_sha256"] = save_weights(network, output / "model.safetensors")
    return facts


def _learn_views(
    network: Classifier,
    train: ScanBatches,
    val: ScanBatches,
    pretraining: Pretraining,
    machine: Machine,
    checkpoints: Path,
) -> pd.DataFrame:
    # lightly takes seconds to import, and only this method needs it.
    from scanlens.pretraining.self_supervised import ViewLearner, ViewPairs, build_projector

    shape = train.parts[0].store.shape
    projector = build_projector(network, shape, pretraining.projection, pretraining.seed)
    return fit(
        network,
        ViewPairs(train),
        ViewPairs(val, fixed=True),
        pretraining_recipe(pretraining),
        machine,
        checkpoints,
        # It learns with the network, as heads of auxiliary tasks do, and is dropped as they are.
        auxiliary=cast(AuxiliaryHeads, projector),
        step=ViewLearner,
    )[0]

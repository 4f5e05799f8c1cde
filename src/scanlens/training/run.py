"""Stage training: from the store to one trained network; ``training.folds`` of them are the classifier."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from scanlens.augmentation.policy import build_policy
from scanlens.config.schema import Augmentation, Model, Training, Transfer
from scanlens.errors import SettingsError
from scanlens.models.classifier import Classifier
from scanlens.models.displacement import AT_ONCE, measure_displacement, scans_to_see
from scanlens.models.predict import to_input
from scanlens.models.registry import build, resolve_model
from scanlens.models.saved import HISTORY, JUDGED, save_model
from scanlens.models.transfer import initialise
from scanlens.preprocess.store import Store
from scanlens.ranks import is_first
from scanlens.scaling.device import Machine
from scanlens.training.callbacks import EpochHook
from scanlens.training.code import code_hash
from scanlens.training.datamodule import Part, ScanBatches
from scanlens.training.features import with_features
from scanlens.training.fit import fit
from scanlens.training.folds import descends_from, training_folds
from scanlens.training.recipe import training_recipe

CHECKPOINTS = Path(".scanlens/checkpoints")
"""Outside DVC's outputs and keyed by a hash: a kept output would leak from one experiment into the next."""

_CODE = ("augmentation", "models", "preprocess", "pretraining", "scaling", "tasks", "training")
"""Packages that decide what a fit learns: changed, one that was killed starts anew."""


class MemberScans(NamedTuple):
    """Which scans a member learns from, and which it validates on."""

    train: list[Part]
    val: Part


def checkpoint_folder(*facts: Any) -> Path:
    """A folder for a fit of exactly these settings, data and code."""
    text = json.dumps([code_hash(_CODE), *facts], sort_keys=True, default=str)
    return CHECKPOINTS / hashlib.sha256(text.encode()).hexdigest()[:16]


def member_scans(folders: dict[str, Path], training: Training, member: int = 0) -> MemberScans:
    """The scans of one member.

    With one fold these are the training and the validation split. With more, both are dealt anew by patient
    (:func:`scanlens.training.folds.training_folds`): fold ``member`` is validated on, the others are learnt
    from, with those copies of the bank whose parents are among them.

    Args:
        folders: Of ``store``, ``bank`` and ``synthetic``; the last two only where they are used.
        training: ``folds``, ``seed``, ``use_bank`` and ``use_synthetic``.
        member: From 0 to ``folds - 1``.

    Raises:
        SettingsError: On a member that does not exist, folds that cannot be filled, or made scans with folds.
    """
    store = Store.open(folders["store"])
    if not 0 <= member < training.folds:
        raise SettingsError(
            f"There is no member {member}: training.folds is {training.folds}.", "Run: scanlens params"
        )
    if training.folds == 1:
        learnt = [Part(store, store.rows("train"))]
        for use, name in ((training.use_bank, "bank"), (training.use_synthetic, "synthetic")):
            if use:
                made = Store.open(folders[name])
                learnt.append(Part(made, np.arange(len(made))))
        return MemberScans(learnt, Part(store, store.rows("val")))
    numbers = training_folds(store.index.assign(label=store.strata), training.folds, training.seed)
    rows = np.flatnonzero((numbers >= 0) & (numbers != member))
    learnt = [Part(store, rows)]
    if training.use_bank:
        bank = Store.open(folders["bank"])
        learnt.append(Part(bank, descends_from(bank.index, set(store.index["scan_id"].iloc[rows]))))
    return MemberScans(learnt, Part(store, np.flatnonzero(numbers == member)))


def train(
    folders: dict[str, Path],
    model: Model,
    transfer: Transfer,
    training: Training,
    augmentation: Augmentation,
    machine: Machine,
    output: Path,
    listener: EpochHook | None = None,
    *,
    member: int = 0,
) -> dict[str, Any]:
    """Train one member: learn from its training scans, choose the epoch by the scans it validates on.

    Args:
        folders: Of ``store``, ``bank``, ``synthetic`` and ``pretrained``.
        model: The network.
        transfer: Its first weights, and what learns when.
        training: The loop.
        augmentation: Its policy changes every scan anew each epoch.
        machine: Device and precision.
        output: Receives ``model.safetensors``, ``model.json``, ``history.csv`` and, with folds,
            ``judged.csv``: the scans it was validated on.
        listener: Called with each epoch's metrics.
        member: Which of ``training.folds`` networks; each starts from weights and an order of its own.

    Returns:
        Facts for the report.
    """
    parts, judged = member_scans(folders, training, member)
    store = judged.store
    architecture = resolve_model(model, store.shape, len(store.labels), store.task.name, store.number_scale)
    recipe = training_recipe(training, transfer)
    recipe = replace(recipe, seed=training.seed + member)
    network = build(architecture, recipe.seed)
    loaded = initialise(network, architecture, transfer, folders["pretrained"] / "model.safetensors")
    dims = len(store.shape) - 1
    policy = None
    if training.augment:
        policy = build_policy(augmentation.policy, dims, store.shape[0], training.augment_share)
    batches = ScanBatches(parts, store.statistics, policy)
    val = ScanBatches([judged], store.statistics, None)
    checkpoints = checkpoint_folder(
        asdict(recipe), asdict(augmentation), architecture.to_json(), asdict(transfer), machine.precision,
        [[part.store.digest, hashlib.sha256(part.rows.tobytes()).hexdigest()] for part in [*parts, judged]],
        training.augment, training.augment_share, _digest(network),
    )  # fmt: skip
    learner, learnt, validated = with_features(
        network, architecture, batches, val, transfer, augmentation, recipe, machine
    )
    history, speed = fit(learner, learnt, validated, recipe, machine, checkpoints, listener)
    best = int(np.nanargmin(history["val_loss"].to_numpy()))
    facts = {**loaded.facts(), "best_epoch": best}
    digest = ""
    if is_first():
        facts["displacement_px"] = settle_displacement(
            network, parts[0], store.statistics, recipe.batch_size, machine
        )
        digest = save_model(output, network, architecture, store.labels, store.statistics, facts)
        history.to_csv(output / HISTORY, index=False)
        if training.folds > 1:
            scans = store.index[["scan_id"]].iloc[judged.rows].assign(member=member)
            scans.to_csv(output / JUDGED, index=False)
    best_row = {str(k): _known(v) for k, v in history.iloc[best].items() if str(k).startswith("val_")}
    return {
        "scans": len(batches), "judged_scans": len(val), "epochs": len(history),
        "parameters": sum(p.numel() for p in network.parameters()), **facts, **best_row,
        "scans_per_second": speed, "first_batch_s": _known(history.attrs["first_batch_s"]),
        "device": machine.device, "precision": machine.precision, "weights_sha256": digest,
    }  # fmt: skip


def settle_displacement(
    network: Classifier, part: Part, statistics: dict[str, Any], batch_size: int, machine: Machine
) -> float:
    """Measure on scans it learnt from how far beside its evidence each class looks, and let its maps know.

    Args:
        network: Trained; ``displacement`` is set.
        part: Scans to choose from, evenly.
        statistics: The network's input is standardised with.
        batch_size: Scans a pass at most.
        machine: Its device does the work.

    Returns:
        The largest displacement along an axis, in pixels of the store; 0 where the network has no layer with
        more cells to trace evidence to.
    """
    outputs = len(network.displacement)
    wanted = min(scans_to_see(outputs), len(part.rows))
    if not network.guides or not wanted:
        return 0.0
    rows = part.rows[np.linspace(0, len(part.rows) - 1, wanted).astype(int)]
    step = min(batch_size, AT_ONCE[len(part.store.shape) - 1])
    network.to(machine.device).eval()
    batches = (
        to_input(part.store.read(rows[start : start + step]), statistics, machine.device)
        for start in range(0, wanted, step)
    )
    found = measure_displacement(network, batches)
    network.cpu().displacement.copy_(found)
    return float((found.abs() * torch.tensor(part.store.shape[1:])).max())


def _known(value: float) -> float | None:
    """None for what is not defined: an AUC of one class, the first batch of a fit that had none left."""
    return float(value) if math.isfinite(value) else None


def _digest(network: Classifier) -> str:
    """A hash of the first weights: other first weights, another fit."""
    digest = hashlib.sha256()
    for tensor in network.state_dict().values():
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()

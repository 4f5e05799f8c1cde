"""One fit: used by pretraining and by training, with other data and settings."""

from __future__ import annotations

import logging
import shutil
import sys
import warnings
from pathlib import Path
from typing import Literal

import pandas as pd
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint

from scanlens.errors import ScanlensError
from scanlens.models.classifier import Classifier
from scanlens.scaling.device import Machine, Precision
from scanlens.training.callbacks import EpochHook, HeadFirst, History, Reseed, progress_bar
from scanlens.training.datamodule import ScanBatches, ScanData, least_draws, loader_workers
from scanlens.training.losses import class_weights, cross_entropy
from scanlens.training.module import ScanClassifier
from scanlens.training.recipe import Recipe

PRECISIONS: dict[Precision, Literal["32-true", "bf16-mixed", "16-mixed"]] = {
    "32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"
}  # fmt: skip


def _trainer(recipe: Recipe, machine: Machine, checkpoints: Path, history: History) -> pl.Trainer:
    callbacks: list[pl.Callback] = [
        Reseed(recipe.seed),
        HeadFirst(recipe.thaw.head_epochs, recipe.thaw.mode == "head"),
        history,
        ModelCheckpoint(checkpoints, "best", monitor="val_loss", enable_version_counter=False),
        # save_last would keep the last one that was best.
        ModelCheckpoint(checkpoints, "last", enable_version_counter=False),
        *progress_bar(),
    ]
    if recipe.patience is not None:
        callbacks.append(EarlyStopping("val_loss", patience=recipe.patience, check_on_train_epoch_end=False))
    return pl.Trainer(
        accelerator=machine.device if machine.device == "cpu" else "gpu",
        devices=1,
        precision=PRECISIONS[machine.precision],
        max_epochs=recipe.epochs,
        gradient_clip_val=recipe.gradient_clip or None,
        deterministic="warn",
        callbacks=callbacks,
        logger=False,
        enable_progress_bar=sys.stderr.isatty(),
        num_sanity_val_steps=0,
        enable_model_summary=False,
        default_root_dir=checkpoints,
    )


def fit(
    network: Classifier,
    train: ScanBatches,
    val: ScanBatches,
    recipe: Recipe,
    machine: Machine,
    checkpoints: Path,
    listener: EpochHook | None = None,
) -> tuple[pd.DataFrame, float]:
    """Train in place and leave the network at its best epoch by validation loss.

    A run that was killed goes on from its last epoch: ``checkpoints`` must belong to these very settings
    and data (callers key it by a hash), and is removed when the fit is done.

    Args:
        network: Learns in place.
        train: What is learnt from.
        val: What early stopping and the choice of the epoch watch.
        recipe: The settings.
        machine: Device and precision.
        checkpoints: A folder for this fit alone, outside the stage's outputs.
        listener: Called with each epoch's metrics.

    Returns:
        One row of metrics an epoch, and the training speed in scans a second.

    Raises:
        ScanlensError: Where the loss is not finite, or a split is empty.
    """
    if not len(train) or not len(val):
        raise ScanlensError("Nothing to train on: the training or the validation split is empty.")
    last = checkpoints / "last.ckpt"
    resume = str(last) if last.is_file() else None
    if resume:
        print(f"resuming from {last}", flush=True)
    weights = None
    if recipe.loss.class_weights != "none":
        weights = class_weights(train.targets, network.head.out_features)
    module = ScanClassifier(
        network,
        cross_entropy(recipe.loss.label_smoothing, weights),
        float(recipe.lr),
        0.0 if recipe.thaw.mode == "head" else recipe.thaw.backbone_lr_scale,
        recipe.weight_decay,
    )
    dims = len(train.parts[0].store.shape) - 1
    if dims == 2:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    # Lightning's own lines (accelerators found, products of its makers) say nothing about this run.
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    history = History(listener)
    draws = least_draws(recipe.epoch_scans, dims)
    data = ScanData(train, val, recipe.batch_size, recipe.seed, draws, loader_workers(machine.device))
    with warnings.catch_warnings():
        # One process on purpose; Lightning recommends more workers, and notes every missing logger.
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*No (positive|negative) samples in targets.*")
        warnings.filterwarnings("ignore", message=".*number of training batches.*")
        warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
        warnings.filterwarnings("ignore", message=".*Checkpoint directory.*exists and is not empty.*")
        trainer = _trainer(recipe, machine, checkpoints, history)
        # The checkpoint is this project's own, in a folder keyed by these settings.
        trainer.fit(module, data, ckpt_path=resume, weights_only=False)
    table = pd.DataFrame(history.rows).astype({"epoch": int})
    if not table["train_loss"].map(lambda v: v == v and abs(v) != float("inf")).all():
        # A repeated run must start anew, not resume this.
        shutil.rmtree(checkpoints, ignore_errors=True)
        raise ScanlensError("The training loss is not finite.", "Lower the learning rate (training.lr).")
    best = torch.load(checkpoints / "best.ckpt", map_location="cpu", weights_only=False)["state_dict"]
    network.load_state_dict(
        {k.removeprefix("network."): v for k, v in best.items() if k.startswith("network.")}
    )
    shutil.rmtree(checkpoints)
    scans = len(data.train_dataloader()) * recipe.batch_size
    return table, scans * len(history.seconds) / max(sum(history.seconds), 1e-9)

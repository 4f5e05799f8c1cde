"""One fit: used by pretraining and by training, with other data and settings."""

from __future__ import annotations

import copy
import logging
import shutil
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pandas as pd
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping

from scanlens.errors import ScanlensError
from scanlens.models.classifier import Classifier
from scanlens.scaling.device import Machine, Precision
from scanlens.training import memory
from scanlens.training.callbacks import EpochHook, History, NotFinite, Reseed, TrainLoss, progress_bar
from scanlens.training.checkpoints import (
    Checkpoints,
    KeptFiles,
    Position,
    best_weights,
    newest,
    prune,
)
from scanlens.training.datamodule import ScanBatches, ScanData, least_draws, loader_workers
from scanlens.training.distributed import PartLoss, barrier, environment, group, strategy
from scanlens.training.losses import build_loss
from scanlens.training.module import ScanClassifier
from scanlens.training.recipe import ALL_AT_ONCE, Recipe
from scanlens.training.telemetry import Telemetry

PRECISIONS: dict[Precision, Literal["32-true", "bf16-mixed", "16-mixed"]] = {
    "32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"
}  # fmt: skip
SILENCED = (
    # One process on purpose; Lightning recommends more workers, and notes what it misses.
    ".*does not have many workers.*",
    ".*No (positive|negative) samples in targets.*",
    ".*number of training batches.*",
    ".*isinstance.treespec, LeafSpec.*",
    # The order of the batches is a function of the epoch, and those that are done are skipped.
    ".*your dataloader is not resumable.*",
    # The sums it would synchronise are equal already.
    ".*sync_dist=True.*",
)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Lightning's own lines (accelerators found, products of its makers), which say nothing here."""
    for name in ("pytorch_lightning", "lightning_fabric", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.WARNING)
    with warnings.catch_warnings():
        for message in SILENCED:
            warnings.filterwarnings("ignore", message=message)
        yield


class _Fit:
    """Everything of a fit that does not change between its attempts."""

    def __init__(
        self,
        network: Classifier,
        train: ScanBatches,
        val: ScanBatches,
        recipe: Recipe,
        machine: Machine,
        checkpoints: Path,
        listener: EpochHook | None,
    ) -> None:
        self.network = network
        self.train, self.val = train, val
        self.recipe, self.machine = recipe, machine
        self.checkpoints = checkpoints
        self.listener = listener
        self.began = time.perf_counter()
        self.dims = len(train.parts[0].store.shape) - 1

    def attempt(self, start: Position, resume: Path | None) -> tuple[History, Telemetry]:
        """Train from ``start`` to the end."""
        recipe, machine = self.recipe, self.machine
        draws = least_draws(recipe.epoch_scans, self.dims)
        data = ScanData(
            self.train, self.val, recipe.batch_size, recipe.seed, draws, loader_workers(machine.device),
            start.micro, (start.epoch, start.done),
        )  # fmt: skip
        processes = machine.devices * machine.nodes
        size = min(recipe.batch_size, data.drawn)
        labels = self.train.parts[0].store.labels
        loss = build_loss(recipe.loss, "softmax", len(labels), self.train.targets)
        module = ScanClassifier(
            self.network,
            PartLoss(loss, size, start.micro * processes),
            float(recipe.lr),
            0.0 if recipe.thaw.mode == "head" else recipe.thaw.backbone_lr_scale,
            recipe.weight_decay,
        )
        mean, telemetry = TrainLoss(), Telemetry(data.drawn // size * size, self.began)
        history = History(self.listener, mean, telemetry)
        trainer = pl.Trainer(
            accelerator="cpu" if machine.device == "cpu" else "gpu",
            strategy=strategy(machine, recipe.thaw != ALL_AT_ONCE),
            devices=machine.devices,
            num_nodes=machine.nodes,
            plugins=[KeptFiles(), environment()],
            precision=PRECISIONS[machine.precision],
            max_epochs=recipe.epochs,
            accumulate_grad_batches=recipe.accumulate * start.micro,
            gradient_clip_val=recipe.gradient_clip or None,
            deterministic="warn",
            callbacks=[
                Reseed(recipe.seed),
                mean,
                telemetry,
                history,
                *(
                    [EarlyStopping("val_loss", patience=recipe.patience, check_on_train_epoch_end=False)]
                    if recipe.patience is not None
                    else []
                ),
                *progress_bar(recipe.batch_size),
                Checkpoints(self.checkpoints, recipe.checkpoint_steps, start),
            ],
            logger=False,
            enable_progress_bar=sys.stderr.isatty(),
            num_sanity_val_steps=0,
            enable_model_summary=False,
            use_distributed_sampler=False,
            default_root_dir=self.checkpoints,
        )
        # The checkpoint is this project's own, in a folder keyed by these settings.
        trainer.fit(module, data, ckpt_path=resume, weights_only=False)
        return history, telemetry

    def run(self) -> tuple[History, Telemetry]:
        """Train to the end; where a GPU's memory does not suffice, in more parts a batch.

        Raises:
            ScanlensError: Where memory does not suffice for one scan of a process.
        """
        first = copy.deepcopy(self.network.state_dict())
        micro = 0
        while True:
            resume = newest(self.checkpoints)
            start = Position.of(resume)
            start = start.divided(max(micro, start.micro))
            if resume and group()[0] == 0:
                print(f"resuming from {resume}", flush=True)
            if resume is None:
                self.network.load_state_dict(first)
            try:
                return self.attempt(start, resume)
            except (MemoryError, RuntimeError) as error:
                if not memory.is_shortage(error):
                    raise
                alone = self.machine.devices * self.machine.nodes == 1
                micro = start.micro * 2
                if (
                    not alone
                    or not isinstance(error, torch.OutOfMemoryError)
                    or micro > self.recipe.batch_size
                ):
                    raise memory.shortage(self.recipe.batch_size, start.micro) from None
            memory.release()
            print(
                f"out of GPU memory: batches of {self.recipe.batch_size} are now worked on in {micro} parts",
                flush=True,
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

    A run that was killed, at whatever moment, goes on from its last checkpoint and ends with the same weights
    as one that was not: ``checkpoints`` must belong to these very settings and data (callers key it by a
    hash), and is removed when the fit is done.

    Args:
        network: Learns in place.
        train: What is learnt from.
        val: What early stopping and the choice of the epoch watch.
        recipe: The settings.
        machine: Device, precision and processes.
        checkpoints: A folder for this fit alone, outside the stage's outputs.
        listener: Called with each epoch's metrics and what the machine did, in the first process.

    Returns:
        One row of metrics an epoch (``attrs["first_batch_s"]``: seconds to the end of the first batch), and
        the training speed in scans a second.

    Raises:
        ScanlensError: Where the loss is not finite, a split is empty, memory does not suffice or a checkpoint
            can't be written.
        KeyboardInterrupt: Where a person stopped it; the last checkpoint is kept.
    """
    if not len(train) or not len(val):
        raise ScanlensError("Nothing to train on: the training or the validation split is empty.")
    prune(checkpoints.parent)
    running = _Fit(network, train, val, recipe, machine, checkpoints, listener)
    if running.dims == 2:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if machine.compile:
        # The backbone alone: it is nearly all of the work, and keeps its parameters' names.
        network.backbone.compile()
    try:
        with _quiet():
            history, telemetry = running.run()
    except SystemExit as end:
        # Lightning turns Ctrl-C into an exit of its own.
        if isinstance(end.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    except NotFinite:
        # A repeated run must start anew, not resume this.
        shutil.rmtree(checkpoints, ignore_errors=True)
        raise
    finally:
        network.backbone._compiled_call_impl = None
    best = best_weights(checkpoints)
    network.load_state_dict(
        {k.removeprefix("network."): v for k, v in best.items() if k.startswith("network.")}
    )
    barrier()
    if group()[0] == 0:
        shutil.rmtree(checkpoints)
    table = pd.DataFrame(history.rows).astype({"epoch": int})
    table.attrs["first_batch_s"] = telemetry.first_batch_s
    return table, telemetry.scans * len(history.seconds) / max(sum(history.seconds), 1e-9)

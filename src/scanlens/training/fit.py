"""One fit: used by pretraining and by training, with other data and settings."""

from __future__ import annotations

import copy
import logging
import math
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd
import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.exceptions import SIGTERMException

from scanlens.errors import TERMINATED, ScanlensError, shortage
from scanlens.models.classifier import Classifier
from scanlens.models.heads import HEADS
from scanlens.scaling.device import Machine, Precision
from scanlens.scaling.opencv import one_thread
from scanlens.training.averaging import averaging_callbacks
from scanlens.training.callbacks import EpochHook, History, NotFinite, Reseed, TrainLoss, progress_bar
from scanlens.training.checkpoints import (
    LAST,
    Patience,
    WholeFiles,
    best_weights,
    checkpoints,
    prune_checkpoints,
)
from scanlens.training.datamodule import ScanBatches, ScanData, least_draws, loader_workers
from scanlens.training.distributed import PartLoss, barrier, environment, group, strategy
from scanlens.training.losses import ScanLoss, build_loss
from scanlens.training.module import ScanClassifier
from scanlens.training.recipe import Recipe
from scanlens.training.telemetry import Telemetry
from scanlens.training.thaw import ThawCallback, changes

PRECISIONS: dict[Precision, Literal["32-true", "bf16-mixed", "16-mixed"]] = {
    "32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"
}  # fmt: skip
SILENCED = (
    # One process on purpose; Lightning recommends more workers, and notes what it misses.
    ".*does not have many workers.*",
    ".*No (positive|negative) samples in targets.*",
    ".*number of training batches.*",
    ".*isinstance.treespec, LeafSpec.*",
    # That of an interrupted fit.
    ".*Checkpoint directory .* exists and is not empty.*",
    # What is frozen keeps its batch norms in evaluation mode.
    ".*in eval mode at the start of training.*",
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


Step = Callable[[Classifier, Recipe, ScanLoss], ScanClassifier]
"""Makes what is computed of a batch."""


@dataclass
class Fit:
    """Everything of a fit that does not change between its attempts."""

    network: Classifier
    train: ScanBatches
    val: ScanBatches
    recipe: Recipe
    loss: ScanLoss
    machine: Machine
    checkpoints: Path
    listener: EpochHook | None
    draws: int
    began: float
    step: Step

    @property
    def processes(self) -> int:
        """Training processes on all nodes."""
        return self.machine.devices * self.machine.nodes

    def attempt(self, micro: int, resume: Path | None) -> tuple[History, Telemetry]:
        """Train to the end, each batch in ``micro`` parts, from a checkpoint where there is one."""
        recipe = self.recipe
        data = ScanData(
            self.train, self.val, recipe.batch_size, recipe.seed, self.draws,
            loader_workers(self.machine.device), micro, recipe.sampling,
        )  # fmt: skip
        size = min(recipe.batch_size, data.drawn)
        loss = PartLoss(self.loss, size, parts) if size % (parts := micro * self.processes) else self.loss
        module = self.step(self.network, recipe, loss)
        telemetry = Telemetry(data.drawn // size * size, self.began)
        history = History(self.listener, mean := TrainLoss(micro), telemetry)
        trainer = self._trainer([mean, telemetry, history], micro)
        # The checkpoint is this project's own, in a folder keyed by these settings.
        trainer.fit(module, data, ckpt_path=resume, weights_only=False)
        return history, telemetry

    def _trainer(self, watching: list[pl.Callback], micro: int) -> pl.Trainer:
        recipe, machine = self.recipe, self.machine
        callbacks = [
            ThawCallback(recipe.thaw),
            Reseed(recipe.seed),
            *averaging_callbacks(recipe.averaging, recipe.epochs),
            *watching,
            *progress_bar(recipe.batch_size // micro),
            *checkpoints(self.checkpoints),
        ]
        if recipe.patience is not None:
            callbacks.append(Patience(recipe.patience))
        return pl.Trainer(
            accelerator="cpu" if machine.device == "cpu" else "gpu",
            strategy=strategy(machine, changes(recipe.thaw)),
            devices=machine.devices,
            num_nodes=machine.nodes,
            plugins=[WholeFiles(), environment()],
            precision=PRECISIONS[machine.precision],
            max_epochs=recipe.epochs,
            accumulate_grad_batches=recipe.accumulate * micro,
            gradient_clip_val=recipe.gradient_clip or None,
            deterministic="warn",
            callbacks=callbacks,
            logger=False,
            enable_progress_bar=sys.stderr.isatty(),
            num_sanity_val_steps=0,
            enable_model_summary=False,
            use_distributed_sampler=False,
            default_root_dir=self.checkpoints,
        )

    def run(self) -> tuple[History, Telemetry]:
        """Train to the end; where a GPU's memory does not suffice, in more parts a batch.

        Raises:
            ScanlensError: Where memory does not suffice for one scan a part.
        """
        first = copy.deepcopy(self.network.state_dict())
        micro = 1
        while True:
            last = self.checkpoints / LAST
            resume = last if last.is_file() else None
            if resume is None:
                self.network.load_state_dict(first)
            elif group()[0] == 0:
                print(f"resuming from {resume}", flush=True)
            try:
                return self.attempt(micro, resume)
            except (MemoryError, RuntimeError) as error:
                if shortage(error) != "memory":
                    raise
                again = isinstance(error, torch.OutOfMemoryError) and self.processes == 1
                if not again or 2 * micro > self.recipe.batch_size:
                    raise _out_of_memory(self.recipe.batch_size, micro) from None
                micro *= 2
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            print(f"out of memory: batches of {self.recipe.batch_size} are now worked on in {micro} parts")


def _out_of_memory(batch_size: int, parts: int) -> ScanlensError:
    """The end of a fit for want of memory, with the way out."""
    tried = f" in {parts} parts" if parts > 1 else ""
    return ScanlensError(
        f"Out of memory at training.batch_size={batch_size}{tried}.",
        "Lower training.batch_size (and raise training.accumulate by as much), or choose a smaller network; "
        "the same command goes on from the last checkpoint where settings are unchanged.",
    )


def _dims(train: ScanBatches) -> int:
    """2 for images, 3 for volumes."""
    return len(train.parts[0].store.shape) - 1


def _head(network: Classifier) -> str:
    return next(name for name, kind in HEADS.items() if kind is network.kind)


def fit(
    network: Classifier,
    train: ScanBatches,
    val: ScanBatches,
    recipe: Recipe,
    machine: Machine,
    checkpoints: Path,
    listener: EpochHook | None = None,
    step: Step = ScanClassifier,
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
        step: What is computed of a batch; the default learns the labels.

    Returns:
        One row of metrics an epoch (``attrs["first_batch_s"]``: seconds to the end of the first batch), and
        the training speed in scans a second.

    Raises:
        ScanlensError: Where the loss is not finite, a split is empty or memory does not suffice.
        KeyboardInterrupt: Where a person stopped it; the last checkpoint is kept.
        SystemExit: With :data:`scanlens.errors.TERMINATED` where SIGTERM did, after the step.
    """
    if not len(train) or not len(val):
        raise ScanlensError("Nothing to train on: the training or the validation split is empty.")
    began = time.perf_counter()
    prune_checkpoints(checkpoints.parent)
    dims = _dims(train)
    if dims == 2:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    loss = build_loss(recipe.loss, _head(network), network.classes, train.targets)
    if machine.compile:
        # The backbone alone: it is nearly all of the work, and its parameters keep their names.
        network.backbone.compile()
    draws = least_draws(recipe.epoch_scans, dims)
    running = Fit(network, train, val, recipe, loss, machine, checkpoints, listener, draws, began, step)
    try:
        with _quiet(), one_thread():
            history, telemetry = running.run()
        if not any(math.isfinite(row["val_loss"]) for row in history.rows):
            raise NotFinite(
                "The validation loss is not finite in any epoch.", "Lower the learning rate (training.lr)."
            )
    except SystemExit as end:
        # Lightning turns Ctrl-C into an exit of its own, and SIGTERM into one that looks like success.
        if isinstance(end.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        if isinstance(end, SIGTERMException):
            raise SystemExit(TERMINATED) from None
        raise
    except NotFinite:
        # A repeated run must start anew, not resume this.
        shutil.rmtree(checkpoints, ignore_errors=True)
        raise
    finally:
        if machine.compile:
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

"""What happens between the steps."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, TQDMProgressBar

from scanlens.errors import ScanlensError
from scanlens.training.distributed import group, mean_over_processes
from scanlens.training.telemetry import Telemetry

_SHOWN = ("train_loss", "val_loss", "val_auc", "val_mae")
"""Metrics in the line an epoch."""
EpochHook = Callable[[dict[str, float], int], None]


class NotFinite(ScanlensError):
    """The training loss is not a number any more: nothing can be learnt from here."""


class Reseed(Callback):
    """Seed torch by the step, so that dropout is the same in a run that was resumed there.

    Args:
        seed: Of the run.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """A different seed each step and process."""
        rank, world = group()
        step = (self.seed * 100_003 + trainer.current_epoch) * 1_000_003 + batch_idx
        seed = (step * world + rank) % 2**63
        # torch.manual_seed notes, with a stack trace, what to do for each kind of device that is not there.
        torch.default_generator.manual_seed(seed)
        if torch.cuda.is_initialized():
            torch.cuda.manual_seed_all(seed)


class TrainLoss(Callback):
    """The mean loss of an epoch.

    Args:
        micro: Parts a batch is worked on in.
    """

    def __init__(self, micro: int = 1) -> None:
        self.micro = micro
        self._sum = torch.zeros((), dtype=torch.float64)
        self._batches = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin at zero."""
        self._sum, self._batches = torch.zeros((), dtype=torch.float64, device=pl_module.device), 0.0

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Add one loss; it stays on its device, so that nothing waits for it."""
        # Lightning divides the loss by the batches it accumulates.
        self._sum += outputs["loss"].detach() * (trainer.accumulate_grad_batches / self.micro)
        self._batches += 1 / self.micro

    def value(self) -> float:
        """The mean so far, over all processes."""
        return float(mean_over_processes(self._sum / (self._batches or 1.0)))


class History(Callback):
    """Keep one row of metrics an epoch, survive a resume, print a line and tell a listener.

    Args:
        listener: Called with the row, what the machine did, and the epoch (tracking).
        loss: Knows the epoch's training loss.
        telemetry: Knows what the machine did.
    """

    def __init__(self, listener: EpochHook | None, loss: TrainLoss, telemetry: Telemetry) -> None:
        self.listener = listener
        self.loss = loss
        self.telemetry = telemetry
        self.rows: list[dict[str, float]] = []
        self.machine: list[dict[str, float]] = []
        self.seconds: list[float] = []
        self._start = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Tell the listener of the epochs that an interrupted run had finished."""
        if self.listener is None or not trainer.is_global_zero:
            return
        for row, machine in zip(self.rows, self.machine, strict=True):
            self.listener({**{k: v for k, v in row.items() if k != "epoch"}, **machine}, int(row["epoch"]))

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the epoch's clock."""
        self._start = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note the epoch's metrics and print them; validation has run by now.

        Raises:
            NotFinite: Where the training loss is not.
        """
        self.seconds.append(time.perf_counter() - self._start)
        metrics = {k: float(v) for k, v in trainer.callback_metrics.items()}
        metrics["train_loss"] = self.loss.value()
        if not abs(metrics["train_loss"]) < float("inf"):
            raise NotFinite("The training loss is not finite.", "Lower the learning rate (training.lr).")
        metrics["lr"] = float(trainer.optimizers[0].param_groups[-1]["lr"])
        self.rows.append({"epoch": float(trainer.current_epoch), **metrics})
        self.machine.append(self.telemetry.values(trainer, self.seconds[-1]))
        if not trainer.is_global_zero:
            return
        numbers = "  ".join(f"{name} {metrics[name]:.3f}" for name in _SHOWN if name in metrics)
        print(
            f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  {numbers}  {self.seconds[-1]:.1f} s",
            flush=True,
        )
        if self.listener is not None:
            self.listener({**metrics, **self.machine[-1]}, trainer.current_epoch)

    def state_dict(self) -> dict[str, Any]:
        """Rows so far, for the checkpoint."""
        return {"rows": self.rows, "machine": self.machine, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Rows from the checkpoint of an interrupted run."""
        self.rows, self.machine = list(state_dict["rows"]), list(state_dict["machine"])
        self.seconds = list(state_dict["seconds"])


class ProgressBar(TQDMProgressBar):
    """Epoch, loss and speed on a terminal.

    Args:
        batch_size: Scans of a batch.
    """

    def __init__(self, batch_size: int) -> None:
        super().__init__(refresh_rate=5)
        self.batch_size = batch_size

    def get_metrics(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """What stands behind the bar."""
        shown = super().get_metrics(trainer, pl_module)
        rate = self.train_progress_bar.format_dict["rate"] or 0.0
        return {**shown, "scans/s": f"{rate * self.batch_size:.0f}"}


def progress_bar(batch_size: int) -> list[Callback]:
    """A bar on a terminal; a log has the line an epoch that :class:`History` prints."""
    return [ProgressBar(batch_size)] if sys.stderr.isatty() else []

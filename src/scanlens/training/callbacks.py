"""What happens between the steps."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, TQDMProgressBar

from scanlens.training.module import ScanClassifier
from scanlens.training.optimisers import set_trainable

SHOWN = ("train_loss", "val_loss", "val_auc")
"""Metrics in the line an epoch."""
EpochHook = Callable[[dict[str, float], int], None]


class HeadFirst(Callback):
    """Let only the head learn for some epochs, then everything (or never).

    A fresh head's gradients are noise; they would wash the transferred features out.

    Args:
        head_epochs: Epochs before the thaw.
        forever: Never thaw.
    """

    def __init__(self, head_epochs: int, forever: bool) -> None:
        self.head_epochs = head_epochs
        self.forever = forever

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Freeze or thaw by the epoch alone, so that a resumed run does the same."""
        assert isinstance(pl_module, ScanClassifier)
        frozen = self.forever or trainer.current_epoch < self.head_epochs
        set_trainable(pl_module.network.backbone, not frozen)
        # Frozen batch norm must keep its running statistics too.
        pl_module.network.backbone.train(not frozen)


class Reseed(Callback):
    """Seed torch by the epoch, so that dropout is the same in a resumed run.

    Args:
        seed: Of the run.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """A different seed each epoch."""
        torch.manual_seed(self.seed * 100_003 + trainer.current_epoch)


class History(Callback):
    """Keep one row of metrics an epoch, survive a resume, and tell a listener.

    Args:
        listener: Called with the row and the epoch (tracking).
    """

    def __init__(self, listener: EpochHook | None) -> None:
        self.listener = listener
        self.rows: list[dict[str, float]] = []
        self.seconds: list[float] = []
        self._start = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Tell the listener of the epochs that an interrupted run had finished."""
        if self.listener is None:
            return
        for row in self.rows:
            self.listener({k: v for k, v in row.items() if k != "epoch"}, int(row["epoch"]))

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the epoch's clock."""
        self._start = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note the epoch's metrics and print them; validation has run by now."""
        self.seconds.append(time.perf_counter() - self._start)
        metrics = {k: float(v) for k, v in trainer.callback_metrics.items()}
        metrics["lr"] = float(trainer.optimizers[0].param_groups[-1]["lr"])
        self.rows.append({"epoch": float(trainer.current_epoch), **metrics})
        numbers = "  ".join(f"{name} {metrics[name]:.3f}" for name in SHOWN if name in metrics)
        print(
            f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  {numbers}  {self.seconds[-1]:.1f} s",
            flush=True,
        )
        if self.listener is not None:
            self.listener(metrics, trainer.current_epoch)

    def state_dict(self) -> dict[str, Any]:
        """Rows so far, for the checkpoint."""
        return {"rows": self.rows, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Rows from the checkpoint of an interrupted run."""
        self.rows, self.seconds = list(state_dict["rows"]), list(state_dict["seconds"])


def progress_bar() -> list[Callback]:
    """A bar on a terminal; a log has the line an epoch that :class:`History` prints."""
    return [TQDMProgressBar()] if sys.stderr.isatty() else []

"""What a killed fit goes on from: Lightning's checkpoints of the last and the best epoch, whole or absent.

A fit that is killed at any moment and started again ends with the same weights as one that was left alone.
Three things make it so: the order of the scans and all random numbers are functions of (seed, epoch, step);
a checkpoint holds everything else; and it is written beside the last one and then renamed.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins import TorchCheckpointIO
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint

from scanlens.atomic import replacing

LAST, BEST = "last.ckpt", "best.ckpt"
_KEPT_DAYS = 30.0
"""Checkpoints of other settings that nobody came back to for so long are removed."""


class WholeFiles(TorchCheckpointIO):
    """Writes a checkpoint beside the one before, then renames it."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write ``checkpoint`` as ``path``; where it can't be written, what is there is untouched."""
        with replacing(Path(path)) as temporary, temporary.open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())


def checkpoints(folder: Path) -> list[ModelCheckpoint]:
    """Callbacks that keep the best epoch by validation loss, and then the last one, in ``folder``."""
    return [
        ModelCheckpoint(
            folder,
            Path(name).stem,
            monitor=monitor,
            enable_version_counter=False,
            save_on_train_epoch_end=True,
        )
        for name, monitor in ((BEST, "val_loss"), (LAST, None))
    ]


class Patience(EarlyStopping):
    """Stops where the validation loss has not got better for some epochs, also in a resumed fit.

    Args:
        epochs: How many. A loss that is not a number counts as one that is not better.
    """

    def __init__(self, epochs: int) -> None:
        super().__init__("val_loss", patience=epochs, check_on_train_epoch_end=False, check_finite=False)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Killed after the decision to stop: the decision stands."""
        if self.wait_count >= self.patience:
            trainer.should_stop = True


def prune_checkpoints(folder: Path, days: float = _KEPT_DAYS) -> None:
    """Remove the checkpoints of interrupted fits that nobody resumed for ``days`` days.

    Args:
        folder: Holds a folder a fit, named by a hash of its settings; others are left alone.
        days: Age of a folder's newest file.
    """
    for kept in folder.glob("*") if folder.is_dir() else []:
        files = [path for path in kept.rglob("*") if path.is_file()]
        if not re.fullmatch(r"[0-9a-f]{16}", kept.name) or not any(p.name == LAST for p in files):
            continue
        if max(path.stat().st_mtime for path in files) < time.time() - days * 86400:
            shutil.rmtree(kept, ignore_errors=True)


def best_weights(folder: Path) -> dict[str, torch.Tensor]:
    """State of the module at the best epoch."""
    content = torch.load(folder / BEST, map_location="cpu", weights_only=False)
    state: dict[str, torch.Tensor] = content["state_dict"]
    return state

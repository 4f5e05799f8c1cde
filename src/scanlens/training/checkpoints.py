"""What a killed fit goes on from: checkpoints that are whole or absent, and the way back into the loop.

A fit that is killed at any moment and started again ends with the same weights as one that was left alone.
Three things make it so: the order of the scans and all random numbers are functions of (seed, epoch, step);
a checkpoint holds everything else; and it is written beside the last one and then renamed.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import time
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins import CheckpointIO
from pytorch_lightning.callbacks import Checkpoint, EarlyStopping

from scanlens.atomic import replacing
from scanlens.errors import ScanlensError

LAST, PREVIOUS, BEST = "last.ckpt", "previous.ckpt", "best.ckpt"
KEPT_DAYS = 30.0
"""Checkpoints of other settings that nobody came back to for so long are removed."""
_FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)


class KeptFiles(CheckpointIO):
    """Writes a checkpoint beside the last one, then renames; the one before stays as a second.

    Between the two renames there is no last one, and a resumed run takes the previous one.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write ``checkpoint`` as ``path``.

        Raises:
            ScanlensError: Where it can't be written; the checkpoints that are there are untouched.
        """
        target = Path(path)
        try:
            with replacing(target) as temporary:
                with temporary.open("wb") as file:
                    torch.save(checkpoint, file)
                    file.flush()
                    os.fsync(file.fileno())
                if checkpoint.get("best"):
                    _link(temporary, target.with_name(BEST))
                if target.exists():
                    os.replace(target, target.with_name(PREVIOUS))
        except (OSError, RuntimeError) as error:
            raise _unwritable(target, error) from error

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> Any:
        """Read what was written; it is this project's own file."""
        return torch.load(path, map_location=map_location or "cpu", weights_only=False)

    def remove_checkpoint(self, path: Any) -> None:
        """Delete a checkpoint."""
        Path(path).unlink(missing_ok=True)


def _link(file: Path, target: Path) -> None:
    """``file`` under a second name, in one step; a copy where the file system has no links."""
    with replacing(target) as temporary:
        try:
            os.link(file, temporary)
        except OSError:
            shutil.copyfile(file, temporary)


def _unwritable(target: Path, error: BaseException) -> ScanlensError:
    """The reason in one line. torch hides the system's error number in a chain of exceptions."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__cause__ or cause.__context__
    if isinstance(cause, OSError) and cause.errno in _FULL:
        reason = f"{os.strerror(cause.errno or 0)} in {target.parent}"
    else:
        reason = str(cause or error).splitlines()[0]
    return ScanlensError(
        f"The checkpoint can't be written: {reason}.",
        "Make room and run the same command again: it goes on from the checkpoint before.",
    )


def is_whole(path: Path) -> bool:
    """Whether every byte of a checkpoint is as it was written (by the sums that its parts carry)."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, zipfile.BadZipFile, NotImplementedError, EOFError):
        return False


def newest(folder: Path) -> Path | None:
    """The newest whole checkpoint, or None."""
    return next((folder / name for name in (LAST, PREVIOUS) if is_whole(folder / name)), None)


def prune(folder: Path, days: float = KEPT_DAYS) -> None:
    """Remove the checkpoints of interrupted fits that nobody resumed for ``days`` days.

    Args:
        folder: Holds a folder a fit, named by a hash of its settings; others are left alone.
        days: Age of a folder's newest file.
    """
    for kept in folder.glob("*") if folder.is_dir() else []:
        files = [path for path in kept.rglob("*") if path.is_file()]
        if not re.fullmatch(r"[0-9a-f]{16}", kept.name) or not any(p.name in (LAST, PREVIOUS) for p in files):
            continue
        if max(path.stat().st_mtime for path in files) < time.time() - days * 86400:
            shutil.rmtree(kept, ignore_errors=True)


@dataclass(frozen=True)
class Position:
    """Where in a fit a checkpoint was written.

    Attributes:
        epoch: Current one; the next one where it was written between two.
        done: Parts of batches done of it.
        micro: Parts that a batch is worked on in.
    """

    epoch: int = 0
    done: int = 0
    micro: int = 1

    @staticmethod
    def of(checkpoint: Path | None) -> Position:
        """The position in a file; the start where there is none."""
        if checkpoint is None:
            return Position()
        content = torch.load(checkpoint, map_location="cpu", weights_only=False, mmap=True)
        return Position(**content["position"])

    def divided(self, micro: int) -> Position:
        """The same place where batches are worked on in another number of parts."""
        return Position(self.epoch, self.done // self.micro * micro, micro)


class Checkpoints(Checkpoint):
    """Writes a checkpoint every so many steps and each epoch, and leads a resumed fit to its place.

    Args:
        folder: Of this fit alone.
        steps: Optimiser steps between two checkpoints of an epoch; 0 writes none within an epoch.
        start: Where this fit begins.
    """

    def __init__(self, folder: Path, steps: int, start: Position) -> None:
        self.folder = folder
        self.steps = steps
        self.start = start
        self.best = float("inf")
        self._position = start
        self._is_best = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin as an undisturbed fit would at this place."""
        if self.start == Position(micro=self.start.micro):
            return
        if self.start.done:
            # Lightning calls no hooks of an epoch that it resumes in its middle.
            for callback in trainer.callbacks:  # type: ignore[attr-defined]
                callback.on_train_epoch_start(trainer, pl_module)
            pl_module.on_train_epoch_start()
        else:
            # Between two epochs nothing is half done.
            trainer.fit_loop.restarting = False
        for callback in trainer.early_stopping_callbacks:
            # Killed after the decision to stop: the decision stands.
            if isinstance(callback, EarlyStopping) and callback.wait_count >= callback.patience:
                trainer.should_stop = True

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keep the state after a step, unless the epoch's own checkpoint follows anyway."""
        done = batch_idx + 1
        between = done % trainer.accumulate_grad_batches == 0 and done < trainer.num_training_batches
        if self.steps and between and trainer.global_step % self.steps == 0:
            self._save(trainer, Position(trainer.current_epoch, done, self.start.micro))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the state after validation, and a second name for it where it is the best so far."""
        loss = float(trainer.callback_metrics["val_loss"])
        # One that is not a number is no best, nor does it hide a later one.
        self._is_best = loss < self.best
        if self._is_best:
            self.best = loss
        self._save(trainer, Position(trainer.current_epoch + 1, 0, self.start.micro))
        self._is_best = False

    def _save(self, trainer: pl.Trainer, position: Position) -> None:
        self._position = position
        trainer.save_checkpoint(self.folder / LAST)

    def state_dict(self) -> dict[str, Any]:
        """The best validation loss so far."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The best validation loss of the interrupted fit."""
        self.best = state_dict["best"]

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add where this is, and whether it is the best."""
        checkpoint.update(position=asdict(self._position), best=self._is_best)

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Set the loop's counters to this place: of finished epochs, or of parts of batches."""
        saved = Position(**checkpoint["position"])
        loops = checkpoint["loops"]["fit_loop"]
        for span in ("total", "current"):
            counts = loops["epoch_progress"][span]
            if not saved.done:
                counts.update(dict.fromkeys(counts, saved.epoch))
                continue
            batches = loops["epoch_loop.batch_progress"][span]
            # A batch that is worked on in more parts counts as often.
            batches.update({k: v * self.start.micro // saved.micro for k, v in batches.items()})
            # Kept at the end of a batch, before Lightning counts it as completed.
            batches["completed"] = batches["processed"] - 1


def best_weights(folder: Path) -> dict[str, torch.Tensor]:
    """State of the module at the best epoch."""
    state: dict[str, torch.Tensor] = KeptFiles().load_checkpoint(folder / BEST)["state_dict"]
    return state

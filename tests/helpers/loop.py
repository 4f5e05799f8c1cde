"""Lightning's loop over tiny batches, without what a real fit adds, and copies of weights on the way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from scanlens.models.classifier import Classifier
from scanlens.training.callbacks import Reseed
from scanlens.training.datamodule import ScanBatches, ScanData
from scanlens.training.losses import build_loss
from scanlens.training.module import ScanClassifier
from scanlens.training.recipe import Recipe

State = dict[str, torch.Tensor]


def copied(module: torch.nn.Module) -> State:
    """Parameters and buffers as they are now."""
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def moved(before: State, after: State) -> set[str]:
    """Names whose values are not equal bit for bit."""
    return {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}


class Snapshots(pl.Callback):
    """The network before the first epoch and after each, and what each validation saw."""

    def __init__(self) -> None:
        self.epochs: list[State] = []
        self.steps: list[State] = []
        self.validated: list[State] = []
        self.rates: list[dict[str, float]] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """The first weights."""
        self.epochs.append(copied(pl_module.network))

    def on_before_zero_grad(self, trainer: pl.Trainer, pl_module: Any, optimizer: Any) -> None:
        """The rates of the step that comes."""
        self.rates.append({group["name"]: group["lr"] for group in optimizer.param_groups})

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
        """Weights after a step."""
        self.steps.append(copied(pl_module.network))

    def on_validation_batch_start(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
        """Weights that are validated; the newest alone where there are several batches."""
        del self.validated[len(self.epochs) - 1 :]
        self.validated.append(copied(pl_module.network))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Weights after an epoch."""
        self.epochs.append(copied(pl_module.network))


def loop(
    network: Classifier,
    batches: Callable[..., ScanBatches],
    recipe: Recipe,
    *callbacks: pl.Callback,
    save: Path | None = None,
    resume: Path | None = None,
    epochs: int | None = None,
) -> Snapshots:
    """Train in place on batches of four.

    Args:
        network: Learns.
        batches: By split.
        recipe: Of the loss, the optimiser and the schedule.
        callbacks: What happens between the steps.
        save: Receives a checkpoint at the end.
        resume: A checkpoint to go on from.
        epochs: Stop before the recipe's last.
    """
    train = batches("train")
    loss = build_loss(recipe.loss, "softmax", network.classes, train.targets)
    snapshots = Snapshots()

    class Save(pl.Callback):
        """Writes while the loop still runs, as checkpoints do."""

        def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            """After the last epoch."""
            if save is not None and trainer.current_epoch + 1 == (epochs or recipe.epochs):
                trainer.save_checkpoint(save)
                trainer.should_stop = True

    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=recipe.epochs,
        accumulate_grad_batches=recipe.accumulate,
        callbacks=[Reseed(0), *callbacks, snapshots, Save()],
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )
    data = ScanData(train, batches("val"), 4, 0, 0)
    trainer.fit(ScanClassifier(network, recipe, loss), data, ckpt_path=resume, weights_only=False)
    return snapshots

"""What a fit needs to know beyond its data; every section that trains maps onto it."""

from __future__ import annotations

from dataclasses import dataclass

from scanlens.config.schema import (
    Averaging,
    Loss,
    Mixing,
    Optimiser,
    Penalties,
    Penalty,
    Pretraining,
    Schedule,
    Training,
    Transfer,
)


@dataclass(frozen=True)
class Thaw:
    """Which parts learn when, and how fast; see section ``transfer``."""

    mode: str = "full"
    head_epochs: int = 0
    block_epochs: int = 1
    backbone_lr_scale: float = 1.0
    layer_decay: float = 1.0
    freeze_norm: bool = False


ADAMW = Optimiser("adamw", 0.9)
ONE_CYCLE = Schedule("one_cycle", 0.25, 0.01)
PLAIN_LOSS = Loss("auto", 0.0, 2.0, "none")
NO_PENALTY = Penalties(Penalty(0.0, 0.0), Penalty(0.0, 0.0))
NO_AVERAGE = Averaging("none", 0.998, 0.75)
NO_MIXING = Mixing(0.0, 0.0, 1.0)
ALL_AT_ONCE = Thaw()


@dataclass(frozen=True)
class Recipe:
    """The settings of one fit, named as in section ``training``."""

    epochs: int
    batch_size: int
    lr: float
    weight_decay: float
    epoch_scans: int
    seed: int
    accumulate: int = 1
    optimiser: Optimiser = ADAMW
    schedule: Schedule = ONE_CYCLE
    loss: Loss = PLAIN_LOSS
    penalties: Penalties = NO_PENALTY
    averaging: Averaging = NO_AVERAGE
    mixing: Mixing = NO_MIXING
    sampling: str = "plain"
    thaw: Thaw = ALL_AT_ONCE
    patience: int | None = None
    gradient_clip: float = 1.0


def training_recipe(training: Training, transfer: Transfer) -> Recipe:
    """Sections ``training`` and ``transfer`` as a recipe."""
    return Recipe(
        epochs=training.epochs,
        batch_size=training.batch_size,
        lr=training.lr,
        weight_decay=training.weight_decay,
        epoch_scans=training.epoch_scans,
        seed=training.seed,
        accumulate=training.accumulate,
        optimiser=training.optimiser,
        schedule=training.schedule,
        loss=training.loss,
        penalties=training.penalties,
        averaging=training.averaging,
        mixing=training.mixing,
        sampling=training.sampling,
        thaw=Thaw(
            mode=transfer.mode,
            head_epochs=transfer.head_epochs,
            block_epochs=transfer.block_epochs,
            backbone_lr_scale=transfer.backbone_lr_scale,
            layer_decay=transfer.layer_decay,
            freeze_norm=transfer.freeze_norm,
        ),
        patience=training.patience,
        gradient_clip=training.gradient_clip,
    )


def pretraining_recipe(pretraining: Pretraining) -> Recipe:
    """Section ``pretraining`` as a recipe of supervised training."""
    return Recipe(
        epochs=pretraining.epochs,
        batch_size=pretraining.batch_size,
        lr=pretraining.lr,
        weight_decay=pretraining.weight_decay,
        epoch_scans=pretraining.epoch_scans,
        seed=pretraining.seed,
    )

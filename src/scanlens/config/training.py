"""Section ``training`` of ``params.yaml``; see :mod:`scanlens.config.schema`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from scanlens.config.kinds import (
    SECTION,
    Amount,
    Bool,
    Count,
    Factor,
    Float,
    Int,
    Positive,
    ProperShare,
    Rate,
    Seed,
    Share,
)


@dataclass(frozen=True, config=SECTION)
class Optimiser:
    """What takes the steps."""

    name: Literal["sgd", "momentum", "rmsprop", "adam", "adamw"]
    momentum: ProperShare


@dataclass(frozen=True, config=SECTION)
class Schedule:
    """How the learning rate moves, a step at a time."""

    name: Literal["one_cycle", "cosine", "step", "exponential", "constant"]
    warmup: Annotated[Float, Field(ge=0, le=0.9)]
    final: Share


@dataclass(frozen=True, config=SECTION)
class Loss:
    """What training minimises."""

    name: Literal["auto", "cross_entropy", "bce", "focal", "mse"]
    label_smoothing: ProperShare
    focal_gamma: Factor
    class_weights: Literal["none", "inverse", "effective"]


@dataclass(frozen=True, config=SECTION)
class Penalty:
    """Factors of the sums of absolute and of squared weights, added to the loss."""

    l1: Factor
    l2: Factor


@dataclass(frozen=True, config=SECTION)
class Penalties:
    """Penalties by layer group."""

    backbone: Penalty
    head: Penalty


@dataclass(frozen=True, config=SECTION)
class Averaging:
    """Averages of the weights over the steps, which are what is validated and kept."""

    method: Literal["none", "ema", "swa"]
    decay: ProperShare
    start: Share


@dataclass(frozen=True, config=SECTION)
class Mixing:
    """Scans mixed with others of their batch, targets likewise."""

    mixup: Factor
    cutmix: Factor
    share: Share


@dataclass(frozen=True, config=SECTION)
class Training:
    """The training loop."""

    epochs: Positive
    epoch_scans: Count
    batch_size: Annotated[Int, Field(ge=2)]
    accumulate: Positive
    lr: Rate
    weight_decay: Factor
    optimiser: Optimiser
    schedule: Schedule
    loss: Loss
    penalties: Penalties
    averaging: Averaging
    mixing: Mixing
    sampling: Literal["plain", "balanced"]
    patience: Positive
    gradient_clip: Amount
    augment: Bool
    augment_share: Share
    use_bank: Bool
    use_synthetic: Bool
    folds: Annotated[Int, Field(ge=1, le=10)]
    seed: Seed

    @model_validator(mode="after")
    def _goes_together(self) -> Training:
        if self.use_synthetic and self.folds > 1:
            raise ValueError(
                f"use_synthetic is true; expected false where training.folds is {self.folds}: every training "
                "scan has a part in every made scan, so each network would validate on what it learnt from."
            )
        return self

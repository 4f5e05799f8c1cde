"""Section ``training`` of ``params.yaml``; see :mod:`scanlens.config.schema`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Auto = Literal["auto"]


@dataclass(frozen=True)
class Optimiser:
    """What takes the steps."""

    name: Literal["sgd", "momentum", "rmsprop", "adam", "adamw"]
    momentum: float


@dataclass(frozen=True)
class Schedule:
    """How the learning rate moves, a step at a time."""

    name: Literal["one_cycle", "cosine", "step", "exponential", "constant"]
    warmup: float
    final: float


@dataclass(frozen=True)
class Loss:
    """What training minimises."""

    name: Literal["auto", "cross_entropy", "bce", "focal", "mse"]
    label_smoothing: float
    focal_gamma: float
    class_weights: Literal["none", "inverse", "effective"]


@dataclass(frozen=True)
class Penalty:
    """Factors of the sums of absolute and of squared weights, added to the loss."""

    l1: float
    l2: float


@dataclass(frozen=True)
class Penalties:
    """Penalties by layer group."""

    backbone: Penalty
    head: Penalty


@dataclass(frozen=True)
class Averaging:
    """Averages of the weights over the steps, which are what is validated and kept."""

    method: Literal["none", "ema", "swa"]
    decay: float
    start: float


@dataclass(frozen=True)
class Mixing:
    """Scans mixed with others of their batch, targets likewise."""

    mixup: float
    cutmix: float
    share: float


@dataclass(frozen=True)
class AuxiliaryTask:
    """A further column learnt jointly; it shapes the features and is dropped afterwards."""

    column: str
    kind: Literal["auto", "class", "number"]
    weight: float


@dataclass(frozen=True)
class Training:
    """The training loop."""

    epochs: int
    epoch_scans: int
    batch_size: int
    accumulate: int
    lr: Auto | float
    weight_decay: float
    optimiser: Optimiser
    schedule: Schedule
    loss: Loss
    penalties: Penalties
    averaging: Averaging
    mixing: Mixing
    sampling: Literal["plain", "balanced"]
    auxiliary: list[AuxiliaryTask]
    patience: int
    gradient_clip: float
    augment: bool
    augment_share: float
    use_bank: bool
    use_synthetic: bool
    folds: int
    seed: int

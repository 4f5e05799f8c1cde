"""What every section of ``params.yaml`` may hold: plain dataclasses, no framework.

A field's type is its check: :mod:`scanlens.config.load` refuses unknown, missing and ill-typed keys and
names the choices of every ``Literal``. Defaults live in ``conf/`` alone, so no field has one here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from scanlens.config.explanation import Explanation, MapScores, Regions, Shortcuts
from scanlens.config.training import (
    Auto,
    AuxiliaryTask,
    Averaging,
    Loss,
    Mixing,
    Optimiser,
    Penalties,
    Penalty,
    Schedule,
    Training,
)

__all__ = [
    "Acquire",
    "Augmentation",
    "Auto",
    "AuxiliaryTask",
    "Averaging",
    "Checks",
    "Columns",
    "Data",
    "Evaluation",
    "Explanation",
    "Leakage",
    "Loss",
    "Manifest",
    "MapScores",
    "Mixing",
    "Model",
    "Optimiser",
    "Packaging",
    "Penalties",
    "Penalty",
    "Phantom",
    "Policy",
    "Preprocess",
    "Pretraining",
    "Regions",
    "Runtime",
    "Schedule",
    "Shortcuts",
    "SplitConfig",
    "Synthesis",
    "Task",
    "Tracking",
    "Training",
    "Transfer",
]

Task = Literal["binary", "multiclass", "ordinal", "regression"]


@dataclass(frozen=True)
class Columns:
    """Names of the label table's columns. ``auto`` looks for the usual names; null means none."""

    path: str
    label: str
    patient: str | None
    split: str | None
    site: str | None
    mask: str | None
    date: str | None


@dataclass(frozen=True)
class Phantom:
    """How the built-in phantom radiographs are drawn."""

    patients: int
    scans_per_patient: list[int]
    sides: list[int]
    balance: dict[str, float]
    difficulty: float
    shortcut: float


@dataclass(frozen=True)
class Data:
    """A data set: where it is and what its labels mean."""

    kind: Literal["phantom", "folder", "table", "medmnist"]
    root: str
    table: str | None
    columns: Columns
    task: Task | Auto
    dims: Literal[2, 3]
    labels: list[str] | None
    phantom: Phantom | None


@dataclass(frozen=True)
class Acquire:
    """What is taken from the data root."""

    limit: int | None
    paths: Literal["plain", "alias"]
    seed: int


@dataclass(frozen=True)
class SplitConfig:
    """How patients are dealt to train, val and test."""

    method: Literal["grouped", "random", "official", "site", "temporal", "hashed"]
    fractions: dict[str, float]
    folds: int | None
    fold: int
    site: str | None
    seed: int


@dataclass(frozen=True)
class Checks:
    """What a scan must be to be accepted, and what reading one may cost."""

    min_side: int
    max_pixels: int
    max_aspect: float
    max_saturated: float
    modalities: list[str] | None
    timeout_s: float
    max_memory_mib: int


@dataclass(frozen=True)
class Leakage:
    """What the gate between manifest and preprocess does about each kind of leak."""

    patients: Literal["refuse", "warn"]
    copies: Literal["refuse", "quarantine", "warn"]
    near_copies: Literal["refuse", "quarantine", "warn", "off"]
    contradictions: Literal["refuse", "quarantine"]
    shortcuts: Literal["refuse", "warn", "off"]
    near_correlation: float
    shortcut_accuracy: float


@dataclass(frozen=True)
class Manifest:
    """Checks, split, leakage gate and what burned-in text leads to."""

    split: SplitConfig
    checks: Checks
    leakage: Leakage
    burned_in: Literal["flag", "quarantine"]


@dataclass(frozen=True)
class Preprocess:
    """How a scan becomes a fixed-shape array in [0, 1], and which range the network sees."""

    size: Auto | int | list[int]
    spacing: float | list[float] | None
    crop: Literal["auto", "none", "foreground", "fan"]
    slices: int
    channels: Auto | Literal[1, 3]
    aspect: Literal["pad", "stretch"]
    intensity: Literal["auto", "window", "percentile", "minmax", "zscore"]
    percentiles: list[float]
    windows: list[list[float]] | None
    range: Literal["zscore", "unit", "centred", "symmetric"]
    shard_rows: int


@dataclass(frozen=True)
class Synthesis:
    """The class-conditional generator of made scans."""

    generator: Literal["cgan"]
    max_side: int
    latent: int
    width: int
    steps: int
    batch_size: int
    lr: float
    scans_per_class: int
    seed: int


@dataclass(frozen=True)
class Policy:
    """Ranges of the random changes; zero switches one off."""

    rotate_deg: float
    translate: float
    scale: float
    brightness: float
    contrast: float
    gamma: float
    noise: float
    blur: float
    horizontal_flip: float


@dataclass(frozen=True)
class Augmentation:
    """The class-balanced bank and the policy that training applies too."""

    policy: Policy
    balance: bool
    max_factor: float
    seed: int


@dataclass(frozen=True)
class Pretraining:
    """First lessons before the labels: on made scans, or on scans without labels."""

    method: Literal["supervised", "self_supervised"]
    epochs: int
    epoch_scans: int
    batch_size: int
    lr: float
    weight_decay: float
    projection: int
    policy: Policy
    seed: int


@dataclass(frozen=True)
class Model:
    """One network by its registry name, and what follows its last feature map."""

    name: str
    library: Literal["auto", "timm", "monai", "scanlens"]
    stem: Literal["auto", "standard", "medium", "small"]
    width: float
    dropout: float
    head: Literal["auto", "softmax", "sigmoid", "linear", "ordinal", "regression"]
    pooling: Literal["auto", "average", "gem", "flatten"]
    hidden: list[int]
    activation: Literal["relu", "leaky_relu", "tanh", "sigmoid"]
    args: dict[str, Any]


@dataclass(frozen=True)
class Transfer:
    """Where the first weights come from, and which parts learn when and how fast."""

    source: Literal["none", "pretraining", "imagenet", "file", "bundle"]
    weights: str | None
    file: str | None
    mode: Literal["full", "head", "gradual"]
    head_epochs: int
    block_epochs: int
    backbone_lr_scale: float
    layer_decay: float
    freeze_norm: bool
    cache_features: bool
    views: int


@dataclass(frozen=True)
class Evaluation:
    """The report."""

    bootstrap: int
    confidence: float
    calibration: Literal["temperature", "none"]
    seed: int


@dataclass(frozen=True)
class Packaging:
    """The bundle."""

    name: str
    onnx: bool


@dataclass(frozen=True)
class Runtime:
    """The machine. No stage declares it, so another machine retrains nothing."""

    device: Literal["auto", "cpu", "cuda"]
    precision: Literal["auto", "32", "bf16", "fp16"]
    compile: bool
    devices: Auto | int
    nodes: int
    threads: Auto | int
    workers: Auto | int
    batch_size: int
    engine: Literal["local", "ray"]
    address: str | None


@dataclass(frozen=True)
class Tracking:
    """Where MLflow keeps the runs."""

    enabled: bool
    uri: str
    experiment: str
    register: bool
    timeout_s: float

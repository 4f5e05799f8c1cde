"""What every section of ``params.yaml`` may hold: a field's type and bound, and what must go together.

Defaults, and what each setting means, stand in ``conf/`` alone; ``docs/settings.md`` is made of both. A
validator's message begins with the name of the field at fault.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator
from pydantic.dataclasses import dataclass

from scanlens.config.data import (
    Acquire,
    Checks,
    Columns,
    Data,
    Leakage,
    Manifest,
    Phantom,
    SplitConfig,
)
from scanlens.config.explanation import Explanation, MapScores, Regions, Shortcuts
from scanlens.config.kinds import (
    SECTION,
    Above,
    Auto,
    Bool,
    Confidence,
    Count,
    Factor,
    Filled,
    Float,
    Int,
    Odd,
    Percentiles,
    Positive,
    PrecisionChoice,
    ProperShare,
    Rate,
    Seed,
    Share,
    Text,
    Width,
    Windows,
)
from scanlens.config.pattern import read_pattern
from scanlens.config.training import (
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
    "Tracking",
    "Training",
    "Transfer",
]

Side = Annotated[Int, Field(ge=4)]
"""Of the network's input, pixels."""


@dataclass(frozen=True, config=SECTION)
class Preprocess:
    """How a scan becomes a fixed-shape array in [0, 1], and which range the network sees."""

    size: Auto | Side | list[Side]
    spacing: Above | list[Above] | None
    crop: Literal["auto", "none", "foreground", "fan"]
    slices: Odd
    channels: Auto | Literal[1, 3]
    aspect: Literal["pad", "stretch"]
    intensity: Literal["auto", "window", "percentile", "minmax", "zscore"]
    percentiles: Percentiles
    windows: Windows | None
    range: Literal["zscore", "unit", "centred", "symmetric"]
    shard_rows: Positive

    @model_validator(mode="after")
    def _goes_together(self) -> Preprocess:
        if self.windows is not None and self.intensity not in ("auto", "window"):
            raise ValueError(
                f"windows is {self.windows}; expected null where preprocess.intensity is {self.intensity}."
            )
        if self.spacing is not None and self.aspect != "pad":
            raise ValueError(
                f"spacing is {self.spacing}; expected null where preprocess.aspect is {self.aspect}."
            )
        parts = self.slices * len(self.windows or [[]])
        if self.channels != "auto" and parts not in (1, self.channels):
            raise ValueError(
                f"channels is {self.channels}; expected auto or {parts}, one for each window and slice."
            )
        return self


@dataclass(frozen=True, config=SECTION)
class Synthesis:
    """The class-conditional generator of made scans."""

    generator: Literal["cgan"]
    max_side: Annotated[Int, Field(ge=8)]
    latent: Positive
    width: Annotated[Int, Field(ge=4)]
    steps: Positive
    batch_size: Annotated[Int, Field(ge=4)]
    lr: Rate
    scans_per_class: Positive
    seed: Seed


@dataclass(frozen=True, config=SECTION)
class Policy:
    """Ranges of the random changes; zero switches one off."""

    rotate_deg: Annotated[Float, Field(ge=0, le=180)]
    translate: Share
    scale: Annotated[Float, Field(ge=0, le=0.9)]
    brightness: Share
    contrast: Share
    gamma: Annotated[Float, Field(ge=0, le=4)]
    noise: Share
    blur: Annotated[Float, Field(ge=0, le=16)]
    horizontal_flip: Share


@dataclass(frozen=True, config=SECTION)
class Augmentation:
    """The class-balanced bank and the policy that training applies too."""

    policy: Policy
    balance: Bool
    max_factor: Annotated[Float, Field(ge=1)]
    seed: Seed


@dataclass(frozen=True, config=SECTION)
class Pretraining:
    """First lessons before the labels: on made scans, or on scans without labels."""

    method: Literal["supervised", "self_supervised"]
    epochs: Count
    epoch_scans: Count
    batch_size: Annotated[Int, Field(ge=2)]
    lr: Rate
    weight_decay: Factor
    projection: Annotated[Int, Field(ge=2, le=65536)]
    policy: Policy
    seed: Seed


@dataclass(frozen=True, config=SECTION)
class Model:
    """One network by its registry name, and what follows its last feature map."""

    name: Text
    library: Literal["auto", "timm", "monai", "scanlens"]
    stem: Literal["auto", "standard", "medium", "small"]
    width: Annotated[Float, Field(gt=0, le=100)]
    dropout: ProperShare
    head: Literal["auto", "softmax", "sigmoid", "linear", "ordinal", "regression"]
    pooling: Literal["auto", "average", "gem", "flatten"]
    hidden: list[Width]
    activation: Literal["relu", "leaky_relu", "tanh", "sigmoid"]
    args: dict[str, Any]

    @model_validator(mode="after")
    def _pattern_is_complete(self) -> Model:
        if self.name == "pattern":
            read_pattern(self.args)
        return self


@dataclass(frozen=True, config=SECTION)
class Transfer:
    """Where the first weights come from, and which parts learn when and how fast."""

    source: Literal["none", "pretraining", "imagenet", "file", "bundle"]
    weights: Text | None
    file: Text | None
    mode: Literal["full", "head", "gradual"]
    head_epochs: Count
    block_epochs: Positive
    backbone_lr_scale: Annotated[Float, Field(ge=0, le=100)]
    layer_decay: Annotated[Float, Field(gt=0, le=1)]
    freeze_norm: Bool
    cache_features: Bool
    views: Annotated[Int, Field(ge=1, le=1000)]

    @model_validator(mode="after")
    def _names_its_file(self) -> Transfer:
        if self.source in ("file", "bundle") and not self.file:
            raise ValueError(f"file must be given where transfer.source is {self.source}.")
        return self


@dataclass(frozen=True, config=SECTION)
class Evaluation:
    """The report."""

    bootstrap: Count
    confidence: Confidence
    calibration: Literal["temperature", "none"]
    seed: Seed


def _registrable(name: str) -> str:
    if not name.strip() or name.strip() in (".", "..") or set(name) & set("/:"):
        raise ValueError
    return name


def _not_blank(name: str) -> str:
    if not name.strip():
        raise ValueError
    return name


ModelName = Annotated[
    Text,
    Field(max_length=250, description="text of at most 250 characters without / and :, not empty"),
    AfterValidator(_registrable),
]
ExperimentName = Annotated[
    Text,
    Field(max_length=250, description="text of at most 250 characters, not empty"),
    AfterValidator(_not_blank),
]


@dataclass(frozen=True, config=SECTION)
class Packaging:
    """The bundle."""

    name: ModelName
    onnx: Bool


@dataclass(frozen=True, config=SECTION)
class Runtime:
    """The machine. No stage declares it, so another machine retrains nothing."""

    device: Literal["auto", "cpu", "cuda"]
    precision: PrecisionChoice
    compile: Bool
    devices: Auto | Annotated[Int, Field(ge=1, le=1024)]
    nodes: Annotated[Int, Field(ge=1, le=1024)]
    threads: Auto | Positive
    workers: Auto | Count
    batch_size: Positive
    engine: Literal["local", "ray"]
    address: Text | None


@dataclass(frozen=True, config=SECTION)
class Tracking:
    """Where MLflow keeps the runs."""

    enabled: Bool
    uri: Filled
    experiment: ExperimentName
    register: Bool
    timeout_s: Above

    @model_validator(mode="after")
    def _keeps_no_secret(self) -> Tracking:
        try:
            parts = urlsplit(self.uri)
            web, _ = parts.scheme in ("http", "https"), parts.port
        except ValueError:
            # Not shown: what does not come apart may hold a password too.
            raise ValueError(
                "uri is no address; expected e.g. http://host:5000 or sqlite:///mlflow.db."
            ) from None
        if parts.password or (web and "@" in self.uri):
            raise ValueError(
                "uri holds a user name or password, which the committed params.yaml would keep: leave out "
                "what stands before @ and set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD in the "
                "environment (of a database its own, such as PGPASSWORD)."
            )
        return self

"""Sections ``data``, ``acquire`` and ``manifest`` of ``params.yaml``; see :mod:`scanlens.config.schema`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic.dataclasses import dataclass

from scanlens.config.kinds import (
    SECTION,
    Above,
    Amount,
    Auto,
    Filled,
    Float,
    Int,
    Label,
    Names,
    Positive,
    Seed,
    Share,
    Text,
    ordered,
)

TaskName = Literal["binary", "multiclass", "ordinal", "regression"]


@dataclass(frozen=True, config=SECTION)
class Columns:
    """Names of the label table's columns. ``auto`` looks for the usual names; null means none."""

    path: Filled
    label: Filled
    patient: Text | None
    split: Text | None
    site: Text | None
    mask: Text | None
    date: Text | None


PHANTOM_LABELS = ("normal", "nodule", "opacity", "effusion")


def _some_weight(weights: dict[str, float]) -> dict[str, float]:
    if not set(weights) <= set(PHANTOM_LABELS) or sum(weights.values()) <= 0:
        raise ValueError
    return weights


@dataclass(frozen=True, config=SECTION)
class Phantom:
    """How the built-in phantom radiographs are drawn."""

    patients: Positive
    scans_per_patient: Annotated[
        list[Annotated[Int, Field(ge=1, le=100)]],
        Field(min_length=2, max_length=2, description="[least, most], whole numbers between 1 and 100"),
        AfterValidator(ordered),
    ]
    sides: Annotated[
        list[Annotated[Int, Field(ge=64, le=4096)]],
        Field(min_length=2, max_length=2, description="[least, most], whole numbers between 64 and 4096"),
        AfterValidator(ordered),
    ]
    balance: Annotated[
        dict[str, Amount],
        Field(description=f"weights of {', '.join(PHANTOM_LABELS)}: at least 0, one of them above"),
        AfterValidator(_some_weight),
    ]
    difficulty: Share
    shortcut: Share

    @model_validator(mode="after")
    def _every_class_has_a_patient(self) -> Phantom:
        drawn = sum(weight > 0 for weight in self.balance.values())
        if self.patients < drawn:
            raise ValueError(f"patients is {self.patients}; expected at least {drawn}, one a class.")
        return self


@dataclass(frozen=True, config=SECTION)
class Data:
    """A data set: where it is and what its labels mean."""

    kind: Literal["phantom", "folder", "table", "medmnist"]
    root: Filled
    table: Text | None
    columns: Columns
    task: TaskName | Auto
    dims: Literal[2, 3]
    labels: Names | None
    positive: Label | None
    phantom: Phantom | None

    @model_validator(mode="after")
    def _goes_together(self) -> Data:
        if self.kind == "phantom" and self.phantom is None:
            raise ValueError(
                "phantom is null; expected a section where data.kind is phantom: choose data=phantom."
            )
        if self.kind == "table" and not self.table:
            raise ValueError("table must be given where data.kind is table: a path below data.root.")
        if self.kind != "phantom" and self.phantom is not None and self.phantom.shortcut:
            raise ValueError(
                f"phantom.shortcut is {self.phantom.shortcut}; expected 0 where data.kind is {self.kind}: "
                "it is drawn into phantoms (experiment=shortcut needs data=phantom)."
            )
        if self.labels is not None and len(self.labels) < 2:
            raise ValueError(f"labels is {self.labels}; expected at least two classes, or null.")
        if self.task == "regression" and self.labels is not None:
            raise ValueError(
                f"labels is {self.labels}; expected null where data.task is regression "
                "(classes in order: data.task=ordinal)."
            )
        if self.positive is not None and self.task in ("ordinal", "regression"):
            raise ValueError(
                f"positive is {self.positive!r}; expected null where data.task is {self.task}: "
                "it is one of two classes."
            )
        if (
            self.positive is not None
            and self.labels is not None
            and (len(self.labels) != 2 or self.positive not in self.labels)
        ):
            raise ValueError(
                f"positive is {self.positive!r}; expected one of two data.labels, or null: "
                f"they are {', '.join(self.labels)}."
            )
        return self


@dataclass(frozen=True, config=SECTION)
class Acquire:
    """What is taken from the data root."""

    limit: Positive | None
    paths: Literal["plain", "alias"]
    seed: Seed


def _shares_of_one(fractions: dict[str, float]) -> dict[str, float]:
    if set(fractions) != {"train", "val", "test"} or abs(sum(fractions.values()) - 1) > 1e-6:
        raise ValueError
    return fractions


@dataclass(frozen=True, config=SECTION)
class SplitConfig:
    """How patients are dealt to train, val and test."""

    method: Literal["grouped", "random", "official", "site", "temporal", "hashed"]
    fractions: Annotated[
        dict[str, Above],
        Field(description="train, val and test, each above 0, that sum to 1"),
        AfterValidator(_shares_of_one),
    ]
    folds: Annotated[Int, Field(ge=3, le=1000)] | None
    fold: Annotated[Int, Field(ge=0, le=999)]
    site: Text | None
    seed: Seed

    @model_validator(mode="after")
    def _fold_is_one_of_the_folds(self) -> SplitConfig:
        if self.folds is None:
            if self.fold and self.method != "site":
                raise ValueError(f"fold is {self.fold}; expected 0 where manifest.split.folds is null.")
        elif self.method in ("site", "temporal"):
            raise ValueError(
                f"folds is {self.folds}; expected null where manifest.split.method is {self.method}."
            )
        elif self.fold >= self.folds:
            raise ValueError(
                f"fold is {self.fold}; expected at most {self.folds - 1}, the last of the folds."
            )
        return self


@dataclass(frozen=True, config=SECTION)
class Checks:
    """What a scan must be to be accepted, and what reading one may cost."""

    min_side: Positive
    max_pixels: Positive
    max_aspect: Annotated[Float, Field(ge=1)]
    max_saturated: Share
    max_wobble: Annotated[Float, Field(ge=0, le=0.01)]
    modalities: list[Text] | None
    timeout_s: Annotated[Float, Field(ge=0.1)]
    max_memory_mib: Annotated[Int, Field(ge=64)]


@dataclass(frozen=True, config=SECTION)
class Leakage:
    """What the gate between manifest and preprocess does about each kind of leak."""

    patients: Literal["refuse", "warn"]
    copies: Literal["refuse", "quarantine", "warn"]
    near_copies: Literal["refuse", "quarantine", "warn", "off"]
    contradictions: Literal["refuse", "quarantine"]
    shortcuts: Literal["refuse", "warn", "off"]
    near_correlation: Annotated[Float, Field(ge=0.5, le=1)]
    shortcut_accuracy: Share


@dataclass(frozen=True, config=SECTION)
class Manifest:
    """Checks, split, leakage gate and what burned-in text leads to."""

    split: SplitConfig
    checks: Checks
    leakage: Leakage
    burned_in: Literal["flag", "quarantine"]

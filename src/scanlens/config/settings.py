"""The whole of ``params.yaml``, and settings of different sections that must go together.

Only what the settings themselves say is checked, before any scan is read.
"""

from __future__ import annotations

from typing import Any

from pydantic import model_validator
from pydantic.dataclasses import dataclass

from scanlens.config import schema
from scanlens.config.kinds import SECTION, Int, Seed

HEAD_OF_TASK = {
    "auto": "softmax", "binary": "softmax", "multiclass": "softmax", "ordinal": "ordinal",
    "regression": "regression",
}  # fmt: skip
"""What ``model.head=auto`` means for each ``data.task``."""
FITTING: dict[str, tuple[str, ...]] = {
    "softmax": ("cross_entropy", "focal"),
    "sigmoid": ("bce", "focal"),
    "linear": ("mse",),
    "ordinal": ("bce", "cross_entropy"),
    "regression": ("mse",),
}
"""Losses of each head; ``training.loss.name=auto`` takes the first."""


@dataclass(frozen=True, config=SECTION)
class Settings:
    """Every section; ``members`` and ``member_lists`` only DVC reads."""

    data: schema.Data
    acquire: schema.Acquire
    manifest: schema.Manifest
    preprocess: schema.Preprocess
    synthesis: schema.Synthesis
    augmentation: schema.Augmentation
    pretraining: schema.Pretraining
    model: schema.Model
    transfer: schema.Transfer
    training: schema.Training
    evaluation: schema.Evaluation
    explanation: schema.Explanation
    map_scores: schema.MapScores
    shortcuts: schema.Shortcuts
    packaging: schema.Packaging
    runtime: schema.Runtime
    tracking: schema.Tracking
    seed: Seed
    members: list[Int]
    member_lists: Any

    @model_validator(mode="after")
    def _members_follow_from_the_folds(self) -> Settings:
        folds = self.training.folds
        if self.members != list(range(folds)):
            raise ValueError(
                f"members is {self.members}, but training.folds is {folds}. "
                "Set training.folds alone; then run: scanlens params"
            )
        return self

    @model_validator(mode="after")
    def _axes_agree(self) -> Settings:
        """Slices make an image of a volume; size and spacing have a number for each axis that is left."""
        slices, dims = self.preprocess.slices, self.data.dims
        if slices > 1 and dims == 2:
            raise ValueError(f"preprocess.slices is {slices}; expected 1 where data.dims is 2.")
        axes = 2 if slices > 1 else dims
        for name in ("size", "spacing"):
            value = getattr(self.preprocess, name)
            if isinstance(value, list) and len(value) != axes:
                raise ValueError(
                    f"preprocess.{name} is {value}; expected one number, or {axes}, one an axis."
                )
        return self

    @model_validator(mode="after")
    def _head_fits_task_and_loss(self) -> Settings:
        task, loss = self.data.task, self.training.loss
        head = HEAD_OF_TASK[task] if self.model.head == "auto" else self.model.head
        if task == "regression" and head != "regression":
            raise ValueError(
                f"model.head is {head}; expected auto | regression where data.task is regression."
            )
        if loss.name not in ("auto", *FITTING[head]):
            raise ValueError(
                f"training.loss.name is {loss.name}; expected auto | {' | '.join(FITTING[head])} "
                f"where model.head is {head}."
            )
        if head == "regression":
            for name, value, plain in (
                ("loss.class_weights", loss.class_weights, "none"),
                ("sampling", self.training.sampling, "plain"),
            ):
                if value != plain:
                    raise ValueError(
                        f"training.{name} is {value}; expected {plain}: a number (model.head=regression) has "
                        "no classes."
                    )
        return self

    @model_validator(mode="after")
    def _kept_features_are_not_cut(self) -> Settings:
        if self.training.mixing.cutmix and self.transfer.mode == "head" and self.transfer.cache_features:
            raise ValueError(
                f"training.mixing.cutmix is {self.training.mixing.cutmix}; expected 0 where "
                "transfer.cache_features is true: kept features have no places to cut."
            )
        return self

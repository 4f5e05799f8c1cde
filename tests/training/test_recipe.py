"""Every setting that a fit knows arrives there under its own name."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from scanlens.config.schema import (
    Averaging,
    Loss,
    Mixing,
    Optimiser,
    Penalties,
    Penalty,
    Schedule,
    Training,
    Transfer,
)
from scanlens.training.recipe import Recipe, Thaw, pretraining_recipe, training_recipe
from tests.helpers.tiny import pretraining, training, transfer

ELSEWHERE = {"augment", "augment_share", "use_bank", "use_synthetic", "folds"}
"""Fields of section training that say what is learnt from, not how."""
SOURCES = {"source", "weights", "file", "cache_features", "views"}
"""Fields of section transfer that say where the first weights and features come from."""


def names(kind: Any) -> set[str]:
    return {field.name for field in dataclasses.fields(kind)}


def unusual() -> Training:
    """No field has the value of a recipe's default, nor that of another."""
    return training(
        epochs=11, epoch_scans=12, batch_size=13, accumulate=14, lr=0.15, weight_decay=0.16,
        optimiser=Optimiser("sgd", 0.17), schedule=Schedule("cosine", 0.18, 0.19),
        loss=Loss("focal", 0.2, 2.1, "inverse"),
        penalties=Penalties(Penalty(0.22, 0.23), Penalty(0.24, 0.25)), averaging=Averaging("ema", 0.26, 0.27),
        mixing=Mixing(0.28, 0.29, 0.3), sampling="balanced", patience=31, gradient_clip=3.2,
        seed=34,
    )  # fmt: skip


def test_every_setting_of_training_arrives_under_its_name() -> None:
    section, plain = unusual(), Recipe(0, 0, 0.0, 0.0, 0, 0)
    recipe = training_recipe(section, transfer())
    shared = names(Recipe) - {"thaw"}
    for name in shared:
        assert getattr(recipe, name) == getattr(section, name), name
        assert getattr(recipe, name) != getattr(plain, name), f"{name}: the test would not notice its loss"


def test_no_setting_of_training_or_transfer_is_forgotten() -> None:
    assert names(Training) - names(Recipe) == ELSEWHERE
    assert names(Transfer) - names(Thaw) == SOURCES
    assert names(Recipe) - names(Training) == {"thaw"}


def test_every_setting_of_transfer_arrives_in_the_thaw() -> None:
    section = transfer(
        mode="gradual", head_epochs=2, block_epochs=3, backbone_lr_scale=0.4, layer_decay=0.5,
        freeze_norm=True,
    )  # fmt: skip
    thaw = training_recipe(training(), section).thaw
    for name in names(Thaw):
        assert getattr(thaw, name) == getattr(section, name), name
        assert getattr(thaw, name) != getattr(Thaw(), name), name


def test_pretraining_sets_its_own_and_leaves_the_rest_plain() -> None:
    section = pretraining(epochs=7, epoch_scans=8, batch_size=9, lr=0.1, weight_decay=0.11, seed=12)
    recipe = pretraining_recipe(section)
    own = {"epochs", "epoch_scans", "batch_size", "lr", "weight_decay", "seed"}
    for name in own:
        assert getattr(recipe, name) == getattr(section, name), name
    assert (
        dataclasses.replace(Recipe(0, 0, 0.0, 0.0, 0, 0), **{n: getattr(section, n) for n in own}) == recipe
    )


def test_a_plain_recipe_mixes_punishes_averages_and_stops_nothing() -> None:
    plain = Recipe(1, 1, 0.1, 0.0, 0, 0)
    assert (plain.mixing.mixup, plain.mixing.cutmix) == (0, 0)
    penalties = [dataclasses.astuple(part) for part in (plain.penalties.backbone, plain.penalties.head)]
    assert penalties == [(0, 0), (0, 0)]
    assert (plain.averaging.method, plain.sampling, plain.accumulate) == ("none", "plain", 1)
    assert plain.patience is None
    assert (plain.thaw.mode, plain.thaw.backbone_lr_scale, plain.thaw.layer_decay) == ("full", 1, 1)


def test_a_recipe_cannot_be_changed_on_the_way() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Recipe(1, 1, 0.1, 0.0, 0, 0).epochs = 2  # type: ignore[misc]

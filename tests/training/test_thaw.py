"""What must not change is equal bit for bit after training: parameters and batch norms' statistics."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from scanlens.models.classifier import Classifier
from scanlens.models.depth import block_parameters, blocks
from scanlens.models.registry import build, resolve_model
from scanlens.preprocess.store import Store
from scanlens.training.datamodule import Part, ScanBatches
from scanlens.training.recipe import Recipe, Thaw
from scanlens.training.thaw import AT_THE_END, ThawCallback, apply, changes, thawed
from tests.helpers.loop import loop, moved
from tests.helpers.tiny import model, write_store

pytestmark = pytest.mark.filterwarnings("ignore")

CASES = [("cnn", (1, 16, 16)), ("resnet18", (1, 32, 32)), ("resnet10", (1, 8, 8, 8))]
"""scanlens' own, timm's, MONAI's in 3-D."""


def make(name: str, shape: tuple[int, ...]) -> Classifier:
    return build(resolve_model(model(name=name, hidden=[4], dropout=0.2), shape, 2), 1)


def batches_of(folder: Path, shape: tuple[int, ...]) -> Callable[..., ScanBatches]:
    store: Store = write_store(folder, shape=shape, train=4, other=2, noise=0.4)
    return lambda split: ScanBatches([Part(store, store.rows(split))], store.statistics, None)


def recipe(thaw: Thaw, epochs: int) -> Recipe:
    return Recipe(epochs=epochs, batch_size=4, lr=0.02, weight_decay=0.1, epoch_scans=0, seed=0, thaw=thaw)


def by_block(network: Classifier) -> list[set[str]]:
    """Names of parameters and buffers of each block, as in the network's state."""
    name_of = {id(module): f"backbone.{name}." for name, module in network.backbone.named_modules()}
    return [
        {
            (name_of[id(module)] + name).replace("..", ".")
            for module in block
            for name, _ in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        }
        for block in blocks(network.backbone)
    ]


def test_how_many_blocks_learn_when() -> None:
    gradual = Thaw("gradual", head_epochs=2, block_epochs=3)
    assert [thawed(gradual, 3, epoch) for epoch in range(10)] == [0, 0, 1, 1, 1, 2, 2, 2, 3, 3]
    assert [thawed(Thaw("full", 2), 3, epoch) for epoch in range(4)] == [0, 0, 3, 3]
    assert thawed(Thaw("full"), 3, 0) == 3
    assert thawed(Thaw("head"), 3, AT_THE_END) == 0
    assert thawed(Thaw("full", backbone_lr_scale=0.0), 3, AT_THE_END) == 0


def test_only_thaws_on_the_way_are_changes() -> None:
    assert changes(Thaw("full", 1))
    assert changes(Thaw("gradual"))
    assert not changes(Thaw("full"))
    assert not changes(Thaw("head", 3))
    assert not changes(Thaw("gradual", 1, backbone_lr_scale=0.0))


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_the_head_learns_alone_for_ever(name: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    network = make(name, shape)
    thaw = Thaw("head", backbone_lr_scale=1.0)
    seen = loop(network, batches_of(tmp_path, shape), recipe(thaw, 2), ThawCallback(thaw))
    assert len(seen.epochs) == 3
    changed = moved(seen.epochs[0], seen.epochs[-1])
    assert changed == {name for name in seen.epochs[0] if name.startswith(("head.", "hidden."))}


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_head_first_then_all(name: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    network = make(name, shape)
    thaw = Thaw("full", head_epochs=2)
    seen = loop(network, batches_of(tmp_path, shape), recipe(thaw, 3), ThawCallback(thaw))
    head = {name for name in seen.epochs[0] if name.startswith(("head.", "hidden."))}
    assert moved(seen.epochs[0], seen.epochs[1]) == head
    assert moved(seen.epochs[1], seen.epochs[2]) == head
    assert moved(seen.epochs[2], seen.epochs[3]) == set(seen.epochs[0]) - {"displacement"}, (
        "which is measured at the end"
    )


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_blocks_thaw_from_the_last_to_the_first(name: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    network = make(name, shape)
    parts = by_block(network)
    assert len(parts) >= 4
    thaw = Thaw("gradual", head_epochs=1, block_epochs=1)
    seen = loop(network, batches_of(tmp_path, shape), recipe(thaw, 4), ThawCallback(thaw))
    for epoch in range(4):
        changed = moved(seen.epochs[epoch], seen.epochs[epoch + 1])
        learning = set().union(*parts[len(parts) - epoch :])
        head = {name for name in seen.epochs[0] if name.startswith(("head.", "hidden."))}
        assert changed == learning | head
    # Blocks before these never learnt.
    assert moved(seen.epochs[0], seen.epochs[-1]).isdisjoint(set().union(*parts[: len(parts) - 3]))


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_frozen_norms_stay_where_their_block_learns(
    name: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    network = make(name, shape)
    norms = {
        f"backbone.{path}.{name}"
        for path, module in network.backbone.named_modules()
        if isinstance(module, _BatchNorm)
        for name in module.state_dict()
    }
    assert norms
    thaw = Thaw("full", freeze_norm=True)
    seen = loop(network, batches_of(tmp_path, shape), recipe(thaw, 1), ThawCallback(thaw))
    assert moved(seen.epochs[0], seen.epochs[1]) == set(seen.epochs[0]) - norms - {"displacement"}


def test_a_rate_of_zero_is_a_frozen_backbone(batches: Callable[..., ScanBatches]) -> None:
    network = make("cnn", (1, 16, 16))
    thaw = Thaw("full", backbone_lr_scale=0.0)
    seen = loop(network, batches, recipe(thaw, 1), ThawCallback(thaw))
    assert all(not name.startswith("backbone.") for name in moved(seen.epochs[0], seen.epochs[1]))


def test_what_is_frozen_drops_nothing() -> None:
    backbone = nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 2, 3), nn.Dropout(0.5)), nn.Sequential(nn.Conv2d(2, 2, 3), nn.Dropout(0.5))
    ).train()
    apply(backbone, Thaw("gradual"), 0)
    scans = torch.ones(1, 1, 8, 8)
    assert torch.equal(backbone[0](scans), backbone[0](scans))
    assert not torch.equal(backbone[1](torch.ones(1, 2, 8, 8)), backbone[1](torch.ones(1, 2, 8, 8)))
    apply(backbone, Thaw("gradual"), 1)
    assert not torch.equal(backbone[0](scans), backbone[0](scans))


def test_gradients_stop_at_the_frozen_blocks() -> None:
    network = make("cnn", (1, 16, 16))
    apply(network.backbone, Thaw("gradual"), 1)
    network(torch.randn(2, 1, 16, 16)).sum().backward()
    learns = [{p.grad is not None for p in block_parameters(block)} for block in blocks(network.backbone)]
    assert learns == [{False}, {False}, {True}, {True}]


def test_a_resumed_run_thaws_alike(batches: Callable[..., ScanBatches], tmp_path: Path) -> None:
    thaw = Thaw("gradual", head_epochs=1, block_epochs=1, layer_decay=0.5)
    whole = loop(make("cnn", (1, 16, 16)), batches, recipe(thaw, 4), ThawCallback(thaw))
    file = tmp_path / "last.ckpt"
    loop(make("cnn", (1, 16, 16)), batches, recipe(thaw, 4), ThawCallback(thaw), save=file, epochs=2)
    rest = loop(make("cnn", (1, 16, 16)), batches, recipe(thaw, 4), ThawCallback(thaw), resume=file)
    assert len(rest.epochs) == 3
    for ours, theirs in zip(rest.epochs, whole.epochs[2:], strict=True):
        assert moved(ours, theirs) == set()


def test_setup_freezes_only_what_never_learns() -> None:
    class Module(nn.Module):
        def __init__(self, network: nn.Module) -> None:
            super().__init__()
            self.network = network

    for thaw, learns in ((Thaw("head"), False), (Thaw("gradual", 3), True)):
        module: Any = Module(make("cnn", (1, 16, 16)))
        ThawCallback(thaw).setup(None, module, "fit")  # type: ignore[arg-type]
        assert {p.requires_grad for p in module.network.backbone.parameters()} == {learns}
        assert all(p.requires_grad for p in module.network.head.parameters())


def test_a_stand_in_without_a_backbone_is_left_alone() -> None:
    class Module(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = nn.Linear(2, 2)

    module: Any = Module()
    ThawCallback(Thaw("head")).setup(None, module, "fit")  # type: ignore[arg-type]
    assert module.network.weight.requires_grad

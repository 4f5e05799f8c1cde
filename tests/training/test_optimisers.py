"""Every parameter is in one group, with its depth's rate and decay; every optimiser takes its own steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from scanlens.config.schema import Optimiser, Schedule
from scanlens.models.classifier import Classifier
from scanlens.models.depth import block_parameters, blocks
from scanlens.models.registry import build, resolve_model
from scanlens.training.datamodule import ScanBatches
from scanlens.training.optimisers import OPTIMISERS, configure, parameter_groups
from scanlens.training.recipe import Recipe, Thaw
from tests.helpers.loop import loop
from tests.helpers.tiny import model


def recipe(**changes: Any) -> Recipe:
    default = {"epochs": 2, "batch_size": 4, "lr": 0.1, "weight_decay": 0.01, "epoch_scans": 0, "seed": 0}
    return Recipe(**{**default, **changes})  # type: ignore[arg-type]


def make(name: str = "cnn", shape: tuple[int, ...] = (1, 16, 16), **changes: Any) -> Classifier:
    return build(resolve_model(model(name=name, hidden=[6], **changes), shape, 2))


@pytest.fixture
def network() -> Classifier:
    return make()


NETWORKS = [
    ("cnn", (1, 16, 16)), ("cnn", (1, 8, 8, 8)), ("dense", (1, 16, 16)), ("edges", (1, 16, 16)),
    ("resnet18", (1, 32, 32)), ("resnet10", (1, 8, 8, 8)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "shape"), NETWORKS)
def test_groups_hold_every_parameter_once(name: str, shape: tuple[int, ...]) -> None:
    network = make(name, shape, width=1.0 if name in ("dense", "edges") else 0.25)
    groups = parameter_groups(network, recipe())
    found = [id(p) for group in groups for p in group["params"]]
    assert len(found) == len(set(found))
    assert set(found) == {id(p) for p in network.parameters()}
    assert all(group["params"] for group in groups)
    assert len({group["name"] for group in groups}) == len(groups)
    assert groups[-1]["name"] == "head.plain"


def test_a_shared_parameter_is_in_one_group(network: Classifier) -> None:
    network.head.weight = network.hidden[0].weight  # type: ignore[assignment]
    found = [id(p) for group in parameter_groups(network, recipe()) for p in group["params"]]
    assert len(found) == len(set(found))


def test_norms_and_biases_are_not_decayed(network: Classifier) -> None:
    groups = parameter_groups(network, recipe())
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            plain = name == "bias" or isinstance(module, _BatchNorm)
            assert decay[id(parameter)] == (0.0 if plain else 0.01)


def test_rates_fall_with_the_distance_from_the_head(network: Classifier) -> None:
    thaw = Thaw(backbone_lr_scale=0.3, layer_decay=0.5)
    groups = {group["name"]: group for group in parameter_groups(network, recipe(thaw=thaw))}
    by_depth = blocks(network.backbone)
    assert len(by_depth) == 4
    for number, block in enumerate(by_depth):
        expected = 0.1 * 0.3 * 0.5 ** (3 - number)
        assert groups[f"backbone.{number}"]["lr"] == pytest.approx(expected)
        assert groups[f"backbone.{number}.plain"]["lr"] == pytest.approx(expected)
        in_groups = [groups[f"backbone.{number}"], groups[f"backbone.{number}.plain"]]
        assert {id(p) for group in in_groups for p in group["params"]} == {
            id(p) for p in block_parameters(block)
        }
    assert groups["head"]["lr"] == 0.1
    head = [*network.hidden.parameters(), *network.head.parameters()]
    assert {id(p) for name in ("head", "head.plain") for p in groups[name]["params"]} == {id(p) for p in head}


@pytest.mark.filterwarnings("ignore")
def test_groups_keep_their_rates_through_a_training(batches: Callable[..., ScanBatches]) -> None:
    thaw = Thaw(backbone_lr_scale=0.5, layer_decay=0.25)
    network = make()
    seen = loop(network, batches, recipe(epochs=3, thaw=thaw, schedule=Schedule("cosine", 0.25, 0.1)))
    assert len(seen.rates) == 12
    for rates in seen.rates:
        for number in range(4):
            assert rates[f"backbone.{number}"] == pytest.approx(rates["head"] * 0.5 * 0.25 ** (3 - number))
    head = [rates["head"] for rates in seen.rates]
    # Steps 0 to 2 rise, the last has the final share.
    assert max(head) == pytest.approx(0.1)
    assert head.index(max(head)) == 2
    assert head[-1] == pytest.approx(0.01)


def test_a_stand_in_without_a_backbone_is_all_head() -> None:
    names = [group["name"] for group in parameter_groups(torch.nn.Linear(4, 2), recipe())]
    assert names == ["head", "head.plain"]


REFERENCES: dict[str, Callable[[list[torch.nn.Parameter]], torch.optim.Optimizer]] = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.01),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.8, nesterov=True, weight_decay=0.01),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.1, momentum=0.8, weight_decay=0.01),
    "adam": lambda p: torch.optim.Adam(p, lr=0.1, weight_decay=0.01, foreach=False),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.01, foreach=False),
}


@pytest.mark.parametrize("name", OPTIMISERS)
def test_each_optimiser_is_torchs(name: str) -> None:
    def steps(build_optimiser: Callable[[torch.nn.Linear], torch.optim.Optimizer]) -> torch.Tensor:
        torch.manual_seed(0)
        layer = torch.nn.Linear(5, 3, bias=False)
        stepped = build_optimiser(layer)
        for _ in range(6):
            stepped.zero_grad()
            layer(torch.randn(4, 5)).square().sum().backward()
            stepped.step()
        return layer.weight.detach()

    settings = recipe(
        optimiser=Optimiser(name, 0.8),  # type: ignore[arg-type]
        schedule=Schedule("constant", 0.0, 1.0),
    )
    ours = steps(lambda layer: configure(layer, settings, 6)[0])
    again = steps(lambda layer: configure(layer, settings, 6)[0])
    theirs = steps(lambda layer: REFERENCES[name](list(layer.parameters())))
    assert torch.equal(ours, again)
    torch.testing.assert_close(ours, theirs)


@pytest.mark.filterwarnings("ignore")
def test_every_optimiser_and_momentum_changes_the_weights(batches: Callable[..., ScanBatches]) -> None:
    ends = {}
    for name in OPTIMISERS:
        for momentum in (0.5, 0.9):
            network = make()
            settings = recipe(epochs=1, lr=0.01, optimiser=Optimiser(name, momentum))  # type: ignore[arg-type]
            loop(network, batches, settings)
            ends[name, momentum] = float(network.head.weight.sum())
    assert len(set(ends.values())) == 5 + 2
    assert ends["momentum", 0.5] != ends["momentum", 0.9]
    assert ends["rmsprop", 0.5] != ends["rmsprop", 0.9]


def test_channels_last_weights_take_the_same_steps() -> None:
    def train(layout: torch.memory_format) -> torch.Tensor:
        torch.manual_seed(0)
        layer = torch.nn.Conv2d(3, 4, 3).to(memory_format=layout)
        stepped, _ = configure(layer, recipe(), 5)
        for _ in range(5):
            stepped.zero_grad()
            layer(torch.randn(2, 3, 8, 8)).square().mean().backward()
            stepped.step()
        return layer.weight.detach()

    torch.testing.assert_close(
        train(torch.channels_last).contiguous(), train(torch.contiguous_format), rtol=1e-4, atol=1e-5
    )

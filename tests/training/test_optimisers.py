"""Every parameter is in one group, with the rate and decay of its part."""

from __future__ import annotations

import pytest
import torch

from scanlens.models.registry import build, resolve
from scanlens.training.optimisers import one_cycle, parameter_groups, set_trainable
from tests.helpers.tiny import model


@pytest.fixture
def network() -> torch.nn.Module:
    return build(resolve(model(), (1, 16, 16), 2))


def test_groups_hold_every_parameter_once(network: torch.nn.Module) -> None:
    groups = parameter_groups(network, 0.1, 0.3, 0.01)
    found = [id(p) for group in groups for p in group["params"]]
    assert len(found) == len(set(found))
    assert set(found) == {id(p) for p in network.parameters()}


def test_norms_and_biases_are_not_decayed(network: torch.nn.Module) -> None:
    decay = {
        id(p): group["weight_decay"]
        for group in parameter_groups(network, 0.1, 1.0, 0.01)
        for p in group["params"]
    }
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            plain = name == "bias" or isinstance(module, torch.nn.BatchNorm2d)
            assert decay[id(parameter)] == (0.0 if plain else 0.01)


def test_the_backbone_learns_at_its_share_of_the_rate(network: torch.nn.Module) -> None:
    optimiser, schedule = one_cycle(network, 0.1, 0.3, 0.0, 20)
    ratios, rates = [], []
    for _ in range(20):
        backbone, head = optimiser.param_groups[0]["lr"], optimiser.param_groups[-1]["lr"]
        ratios.append(backbone / head)
        rates.append(head)
        optimiser.step()
        schedule.step()
    assert ratios == pytest.approx([0.3] * 20)
    assert max(rates) == pytest.approx(0.1)
    # Up for a quarter of the steps, then down to next to nothing.
    assert rates.index(max(rates)) == 4
    assert rates[-1] < 1e-4


def test_a_backbone_that_never_learns_is_left_out(network: torch.nn.Module) -> None:
    optimiser, _ = one_cycle(network, 0.1, 0.0, 0.01, 1)
    found = {id(p) for group in optimiser.param_groups for p in group["params"]}
    assert found == {id(p) for p in network.head.parameters()}


def test_set_trainable(network: torch.nn.Module) -> None:
    set_trainable(network.backbone, False)
    assert not any(p.requires_grad for p in network.backbone.parameters())
    assert all(p.requires_grad for p in network.head.parameters())
    set_trainable(network.backbone, True)
    assert all(p.requires_grad for p in network.parameters())

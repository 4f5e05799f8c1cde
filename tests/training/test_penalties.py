"""Penalties against sums written out, by layer group."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from scanlens.config.schema import Penalties, Penalty
from scanlens.models.classifier import Classifier
from scanlens.models.registry import build, resolve_model
from scanlens.training.penalties import penalty
from scanlens.training.recipe import Thaw
from scanlens.training.thaw import apply
from tests.helpers.tiny import model

NONE = Penalty(0.0, 0.0)
CASES = [
    Penalties(Penalty(0.3, 0.0), NONE),
    Penalties(Penalty(0.0, 0.2), NONE),
    Penalties(NONE, Penalty(0.1, 0.0)),
    Penalties(NONE, Penalty(0.0, 0.5)),
    Penalties(Penalty(0.3, 0.2), Penalty(0.1, 0.5)),
]


@pytest.fixture
def network() -> Classifier:
    return build(resolve_model(model(hidden=[5]), (1, 16, 16), 2))


def weights(part: nn.Module) -> list[torch.Tensor]:
    """Kernels and matrices by the kind of their layer."""
    return [m.weight for m in part.modules() if isinstance(m, nn.Conv2d | nn.Linear)]


@pytest.mark.parametrize("penalties", CASES)
def test_sums_by_layer_group(network: Classifier, penalties: Penalties) -> None:
    deep, head = weights(network.backbone), [*weights(network.hidden), network.head.weight]
    expected = sum(
        factors.l1 * float(w.detach().abs().sum()) + factors.l2 * float((w.detach() ** 2).sum())
        for factors, group in ((penalties.backbone, deep), (penalties.head, head))
        for w in group
    )
    assert float(penalty(network, penalties).detach()) == pytest.approx(expected)
    assert expected > 0


def test_the_derivative_is_that_of_the_sums(network: Classifier) -> None:
    penalty(network, Penalties(Penalty(0.3, 0.2), Penalty(0.1, 0.5))).backward()
    for factors, group in (((0.3, 0.2), weights(network.backbone)), ((0.1, 0.5), [network.head.weight])):
        for w in group:
            assert w.grad is not None
            torch.testing.assert_close(w.grad, factors[0] * w.sign() + 2 * factors[1] * w)
    plain = [p for p in network.parameters() if p.ndim == 1]
    assert plain
    assert all(p.grad is None for p in plain)


def test_no_penalty_costs_nothing(network: Classifier) -> None:
    value = penalty(network, Penalties(NONE, NONE))
    assert value == 0
    assert not value.requires_grad


def test_frozen_weights_are_left_out(network: Classifier) -> None:
    apply(network.backbone, Thaw(mode="head"), 0)
    value = penalty(network, Penalties(Penalty(1.0, 1.0), NONE))
    assert value == 0
    assert penalty(network, Penalties(Penalty(1.0, 1.0), Penalty(0.1, 0.0))) > 0


def test_a_stand_in_without_a_backbone_is_all_head() -> None:
    layer = nn.Linear(3, 2)
    value = penalty(layer, Penalties(Penalty(7.0, 7.0), Penalty(1.0, 0.0)))
    assert float(value.detach()) == pytest.approx(float(layer.weight.detach().abs().sum()))

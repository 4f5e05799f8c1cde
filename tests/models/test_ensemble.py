"""Several networks as one: means of what its members say, and the way back from its weights."""

from __future__ import annotations

import resource
from collections.abc import Callable

import pytest
import torch
from torch import nn

from scanlens.errors import SettingsError
from scanlens.models.architecture import Architecture
from scanlens.models.classifier import Classifier
from scanlens.models.ensemble import FACTOR, SPARE, Ensemble, allowance, rebuild
from scanlens.models.registry import build

Make = Callable[..., Architecture]


def members(made: Architecture, count: int = 3) -> list[Classifier]:
    return [build(made, seed).eval() for seed in range(count)]


@pytest.mark.parametrize("head", ["softmax", "ordinal"])
@pytest.mark.parametrize("size", [(16, 12), (8, 8, 10)])
def test_it_says_the_mean_of_what_its_members_say(
    architecture: Make, head: str, size: tuple[int, ...]
) -> None:
    single = members(architecture(head=head, size=size))
    network = Ensemble(single).eval()
    scans = torch.randn(4, 1, *size)
    with torch.inference_mode():
        logits, evidence = network.logits(scans), network.explain(scans)
        torch.testing.assert_close(logits, sum(one.logits(scans) for one in single) / 3)
        torch.testing.assert_close(network(scans), logits)
        torch.testing.assert_close(evidence.logits, logits)
        torch.testing.assert_close(evidence.local, sum(one.explain(scans).local for one in single) / 3)
        torch.testing.assert_close(evidence.cams, sum(one.explain(scans).cams for one in single) / 3)
    if head == "softmax":
        torch.testing.assert_close(evidence.local.flatten(2).mean(2), logits)


@pytest.mark.parametrize("count", [1, 3])
def test_it_is_rebuilt_from_its_weights(architecture: Make, count: int) -> None:
    made = architecture(hidden=(5,))
    single = members(made, count)
    network = Ensemble(single).eval() if count > 1 else single[0]
    again = rebuild(made, count, network.state_dict())
    assert type(again) is type(network)
    assert not again.training
    scans = torch.randn(2, 1, *made.size)
    assert torch.equal(again.logits(scans), network.logits(scans))


@pytest.mark.parametrize("said", [1, 2, 4, 10**9])
def test_weights_of_another_number_of_members_are_refused(architecture: Make, said: int) -> None:
    made = architecture()
    with pytest.raises(SettingsError, match=f"hold 3 networks, their description says {said}"):
        rebuild(made, said, Ensemble(members(made)).state_dict())


@pytest.mark.parametrize(
    "change",
    [
        {"width": 90.0},
        {"hidden": (60000, 60000)},
        {"name": "vit_tiny_patch16_224", "library": "timm", "width": 1.0, "args": {"depth": 60000}},
        {"name": "resnet18", "library": "timm", "width": 1.0, "args": {"layers": [60000] * 4}},
    ],
    ids=str,
)
def test_a_network_far_larger_than_its_weights_is_refused_before_it_is_built(
    architecture: Make, change: dict[str, object]
) -> None:
    state = build(architecture()).state_dict()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(SettingsError, match="far larger than its weights"):
        rebuild(architecture(**change), 1, state)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # KiB


def test_members_of_one_number_each_build_one_network(architecture: Make) -> None:
    made = architecture(width=1.0)
    state = {f"members.{number}.bias": torch.zeros(1) for number in range(5000)}
    with pytest.raises(SettingsError, match="The weights hold 5000 tensors"):
        rebuild(made, 5000, state)


def test_building_outside_an_allowance_is_free(architecture: Make) -> None:
    with pytest.raises(SettingsError, match="larger"), allowance(0):
        build(architecture(width=16.0))
    build(architecture(width=16.0))


def test_what_is_allowed_may_be_built() -> None:
    with allowance(1000):
        nn.Linear(1000, (FACTOR * 1000 + SPARE) // 1000 - 2)


@pytest.mark.parametrize("layer", [lambda: nn.Linear(1001, 1001), lambda: nn.BatchNorm1d(600_000)])
def test_what_is_far_larger_is_refused(layer: object) -> None:
    with pytest.raises(SettingsError, match="far larger than its weights, 0 numbers"), allowance(0):
        layer()  # type: ignore[operator]


def test_layers_add_up_and_buffers_count() -> None:
    with pytest.raises(SettingsError, match="far larger"), allowance(0):  # noqa: PT012
        for _ in range(3):
            nn.Module().register_buffer("positions", torch.empty(SPARE // 2 - 1))


def test_nothing_is_counted_afterwards() -> None:
    with pytest.raises(SettingsError), allowance(0):
        nn.Linear(2000, 2000)
    nn.Linear(2000, 2000)

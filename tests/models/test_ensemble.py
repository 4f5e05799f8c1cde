"""Several networks as one: means of what its members say, and the way back from its weights."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from scanlens.errors import SettingsError
from scanlens.models.architecture import Architecture
from scanlens.models.classifier import Classifier
from scanlens.models.ensemble import Ensemble, rebuild
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
        torch.testing.assert_close(
            evidence.contributions, sum(one.explain(scans).contributions for one in single) / 3
        )
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

"""A rate that learns, found the same way every time, and a network that is left as it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from scanlens.config.schema import Loss, Optimiser
from scanlens.errors import SettingsError
from scanlens.models.classifier import Classifier
from scanlens.models.registry import build, resolve_model
from scanlens.scaling.device import Machine
from scanlens.training.datamodule import ScanBatches
from scanlens.training.losses import build_loss
from scanlens.training.rate_finder import choose_rate, find_rate, smoothed
from scanlens.training.recipe import Recipe
from tests.helpers.loop import copied, loop, moved
from tests.helpers.tiny import model

Batches = Callable[..., ScanBatches]
CPU = Machine("cpu", "32", 1, 4)
PLAIN = Loss("auto", 0.0, 2.0, "none")


def make() -> Classifier:
    return build(resolve_model(model(dropout=0.2), (1, 16, 16), 2), 1)


def recipe(**changes: Any) -> Recipe:
    default = {"epochs": 4, "batch_size": 4, "lr": "auto", "weight_decay": 0.0, "epoch_scans": 0, "seed": 3}
    return Recipe(**{**default, **changes})  # type: ignore[arg-type]


def find(batches: Batches, network: Classifier | None = None, **changes: Any) -> float:
    train = batches("train")
    loss = build_loss(PLAIN, "softmax", 2, train.targets)
    return find_rate(network or make(), train, recipe(**changes), loss, CPU)


def test_smoothing_forgets_its_start() -> None:
    assert smoothed(np.full(5, 3.0)) == pytest.approx(np.full(5, 3.0))
    values = smoothed(np.array([1.0, 2.0]))
    assert values == pytest.approx([1.0, (0.09 * 1 + 0.1 * 2) / 0.19])


def test_a_tenth_of_the_rate_at_the_least_loss() -> None:
    rates = np.geomspace(1e-4, 1.0, 5)
    assert choose_rate(rates, np.array([1.0, 0.9, 0.5, 0.7, 3.0])) == pytest.approx(1e-3)


@pytest.mark.parametrize("losses", [[1.0, 1.1, 1.2], [1.0, 0.99, 1.5], [1.0, 1.0, 1.0]])
def test_a_loss_that_never_falls_is_told(losses: list[float]) -> None:
    with pytest.raises(SettingsError, match=r"never falls"):
        choose_rate(np.geomspace(1e-3, 1e-1, 3), np.array(losses))


def test_two_tests_agree_and_leave_everything_as_it_was(batches: Batches) -> None:
    network = make()
    before = copied(network)
    torch.manual_seed(5)
    one = find(batches, network)
    drawn = torch.rand(3)
    two = find(batches, network)
    assert one == two
    assert 1e-6 < one <= 0.1
    assert moved(before, copied(network)) == set()
    assert network.training
    assert all(p.requires_grad and p.grad is None for p in network.parameters())
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(3))


@pytest.mark.filterwarnings("ignore")
def test_the_rate_learns(batches: Batches) -> None:
    seen = []
    for rate in (1e-6, find(batches)):
        network = make()
        loop(network, batches, recipe(lr=rate))
        network.eval()
        scans, targets, _ = batches("train").__getitems__([(p, 0) for p in range(16)])
        seen.append(float(torch.nn.functional.cross_entropy(network(scans).detach(), targets)))
    assert seen[1] < seen[0]


def test_only_training_scans_are_read(batches: Batches) -> None:
    train = batches("train")
    asked: set[int] = set()
    plain = train.__getitems__

    class Watched(ScanBatches):
        def __init__(self) -> None:
            self.__dict__.update(train.__dict__)

        def __getitems__(self, drawn: Any) -> Any:
            asked.update(position for position, _ in drawn)
            return plain(drawn)

    find_rate(make(), Watched(), recipe(), build_loss(PLAIN, "softmax", 2, train.targets), CPU)
    assert asked == set(range(16))


def test_what_the_fit_does_counts(batches: Batches) -> None:
    found = {
        find(batches),
        find(batches, batch_size=8),
        find(batches, optimiser=Optimiser("sgd", 0.9)),
    }
    assert len(found) > 1


def test_labels_that_teach_nothing_are_told(batches: Batches) -> None:
    train = batches("train")
    network = make()
    with pytest.raises(SettingsError, match=r"never falls"):
        find_rate(network, train, recipe(), lambda outputs, targets: outputs.sum() * 0 + 1.0, CPU)

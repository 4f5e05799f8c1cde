"""Averages of weights against averages by hand; what is validated, kept and resumed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from scanlens.config.schema import Averaging, Schedule
from scanlens.models.classifier import Classifier
from scanlens.models.registry import build, resolve_model
from scanlens.training.averaging import averaging_callbacks, measure_norms
from scanlens.training.datamodule import ScanBatches
from scanlens.training.recipe import Recipe, Thaw
from scanlens.training.thaw import ThawCallback
from tests.helpers.loop import Snapshots, State, copied, loop, moved
from tests.helpers.tiny import model

pytestmark = pytest.mark.filterwarnings("ignore")
Batches = Callable[..., ScanBatches]
EMA, SWA = Averaging("ema", 0.8, 0.5), Averaging("swa", 0.8, 0.5)


def make(name: str = "cnn") -> Classifier:
    return build(resolve_model(model(name=name, dropout=0.2), (1, 16, 16), 2), 1)


def recipe(averaging: Averaging, epochs: int = 4, thaw: Thaw | None = None) -> Recipe:
    return Recipe(
        epochs=epochs, batch_size=4, lr=0.02, weight_decay=0.1, epoch_scans=0, seed=0, averaging=averaging,
        schedule=Schedule("constant", 0.0, 1.0), thaw=thaw or Thaw(),
    )  # fmt: skip


def run(
    averaging: Averaging, batches: Batches, network: Classifier | None = None, **options: Any
) -> Snapshots:
    settings = recipe(averaging, options.pop("epochs_in_all", 4), options.pop("thaw", None))
    callbacks = [ThawCallback(settings.thaw), *averaging_callbacks(averaging, settings.epochs)]
    return loop(network or make(), batches, settings, *callbacks, **options)


def close(ours: State, by_hand: State) -> None:
    for name, tensor in by_hand.items():
        torch.testing.assert_close(ours[name], tensor, rtol=1e-4, atol=1e-6, msg=name)


def test_none_is_no_callback() -> None:
    assert averaging_callbacks(Averaging("none", 0.9, 0.5), 4) == []


def test_the_moving_average_by_hand(batches: Batches) -> None:
    seen = run(EMA, batches, make("resnet18"))
    average: State = {}
    steps = iter(enumerate(seen.steps))
    for epoch in range(4):
        for _ in range(4):
            count, state = next(steps)
            decay = min(0.8, (1 + count) / (10 + count))
            for name, tensor in state.items():
                if count == 0 or not tensor.is_floating_point():
                    average[name] = tensor.clone()
                else:
                    average[name] = decay * average[name] + (1 - decay) * tensor
        # Validation sees the average, the next epoch starts from the weights themselves.
        close(seen.validated[epoch], average)
        assert moved(seen.epochs[epoch + 1], seen.steps[4 * epoch + 3]) == set()


def test_a_short_run_forgets_its_first_weights(batches: Batches) -> None:
    slow = Averaging("ema", 0.9999, 0.5)
    network = make()
    start = copied(network)
    seen = run(slow, batches, network)
    key = "head.weight"
    whole = (seen.steps[-1][key] - start[key]).norm()
    # Without the warm-up of the decay it would be a thousandth of the way.
    assert (seen.validated[-1][key] - start[key]).norm() > 0.3 * whole


def weights_of(state: State) -> State:
    return {k: v for k, v in state.items() if not k.endswith(("running_mean", "running_var", "tracked"))}


@pytest.mark.parametrize("name", ["cnn", "resnet18"])
def test_the_mean_of_epochs_by_hand(name: str, batches: Batches) -> None:
    seen = run(SWA, batches, make(name))
    ends = seen.epochs[1:]
    for epoch in (0, 1, 2):
        # Until the mean has two members it is the newest weights, statistics included.
        assert moved(seen.validated[epoch], ends[epoch]) == set()
    mean = {k: (ends[2][k] + ends[3][k]) / 2 for k in weights_of(ends[2])}
    close(seen.validated[3], mean)
    assert moved(weights_of(seen.validated[3]), weights_of(ends[3]))


def test_norms_of_the_mean_are_measured_anew(batches: Batches) -> None:
    seen = run(SWA, batches)
    network = make().eval()
    network.load_state_dict(seen.validated[3])
    # Batches of four of all sixteen training scans, in the order that the epoch sets.
    order = np.random.default_rng([3]).permutation(16)
    inputs = [batches("train").__getitems__([(int(p), 0) for p in part])[0] for part in order.reshape(4, 4)]
    first = network.backbone[0].layers[0]
    norm = network.backbone[0].layers[1]
    maps = [first(scans) for scans in inputs]
    mean = torch.stack([m.mean((0, 2, 3)) for m in maps]).mean(0)
    variance = torch.stack([m.var((0, 2, 3)) for m in maps]).mean(0)
    torch.testing.assert_close(norm.running_mean, mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(norm.running_var, variance, rtol=1e-4, atol=1e-5)


def test_measuring_is_torchs(batches: Batches) -> None:
    scans = [batches("train").__getitems__([(p, 0) for p in range(i, i + 4)])[0] for i in (0, 4, 8)]
    ours, theirs, learning = make(), make(), make().train()
    for network in (ours, theirs):
        for module in network.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
    measure_norms(ours, learning, iter(scans))
    torch.optim.swa_utils.update_bn(scans, theirs)
    close(copied(ours), copied(theirs))
    assert not any(module.training for module in ours.modules())
    assert all(m.momentum == 0.1 for m in ours.modules() if isinstance(m, nn.BatchNorm2d))


def test_frozen_norms_are_not_measured(batches: Batches) -> None:
    ours, learning = make(), make().eval()
    before = copied(ours)
    measure_norms(ours, learning, iter([torch.randn(4, 1, 16, 16)]))
    assert moved(before, copied(ours)) == set()


@pytest.mark.parametrize("averaging", [EMA, SWA])
def test_frozen_parts_do_not_drift(averaging: Averaging, batches: Batches) -> None:
    network = make()
    start = copied(network)
    seen = run(averaging, batches, network, thaw=Thaw("head"))
    changed = moved(start, seen.validated[-1])
    assert changed == {"head.weight", "head.bias"}


@pytest.mark.parametrize("averaging", [EMA, SWA])
def test_the_checkpoint_holds_what_was_validated(
    averaging: Averaging, batches: Batches, tmp_path: Path
) -> None:
    seen = run(averaging, batches, save=tmp_path / "best.ckpt")
    content = torch.load(tmp_path / "best.ckpt", weights_only=False)["state_dict"]
    kept = {k.removeprefix("network."): v for k, v in content.items() if k.startswith("network.")}
    assert set(kept) == set(seen.validated[-1])
    assert moved(seen.validated[-1], kept) == set()


@pytest.mark.parametrize("averaging", [EMA, SWA])
@pytest.mark.parametrize("stop", [1, 3])
def test_a_resumed_run_averages_alike(
    averaging: Averaging, stop: int, batches: Batches, tmp_path: Path
) -> None:
    whole = run(averaging, batches)
    file = tmp_path / "last.ckpt"
    run(averaging, batches, save=file, epochs=stop)
    rest = run(averaging, batches, resume=file)
    assert moved(rest.epochs[-1], whole.epochs[-1]) == set()
    assert moved(rest.validated[-1], whole.validated[-1]) == set()


@pytest.mark.parametrize("averaging", [EMA, SWA])
def test_training_ends_with_the_average(averaging: Averaging, batches: Batches) -> None:
    network = make()
    seen = run(averaging, batches, network)
    assert moved(copied(network), seen.validated[-1]) == set()


def test_every_setting_counts(batches: Batches) -> None:
    ends = [
        float(run(averaging, batches).validated[-1]["head.weight"].sum())
        for averaging in (EMA, Averaging("ema", 0.3, 0.5), SWA, Averaging("swa", 0.8, 0.0))
    ]
    assert len(set(ends)) == 4


def test_the_last_epoch_is_always_in_the_mean(batches: Batches) -> None:
    late = run(Averaging("swa", 0.8, 1.0), batches)
    assert moved(late.validated[-1], late.epochs[-1]) == set()


def test_averaging_leaves_training_alone(batches: Batches) -> None:
    plain = run(Averaging("none", 0.8, 0.5), batches)
    for averaging in (EMA, SWA):
        assert moved(plain.epochs[-1], run(averaging, batches).epochs[-1]) == set()

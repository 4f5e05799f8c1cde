"""Kept features teach the head what the frozen backbone would have, and the backbone runs once a view."""

from __future__ import annotations

import copy
import errno
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from scanlens.augmentation.policy import build_policy
from scanlens.config.schema import Mixing
from scanlens.errors import ScanlensError
from scanlens.models.classifier import Classifier
from scanlens.models.registry import build, resolve_model
from scanlens.preprocess.store import Store
from scanlens.scaling.device import Machine
from scanlens.training import code, feature_files, features
from scanlens.training.datamodule import ScanBatches
from scanlens.training.feature_files import prune_features
from scanlens.training.features import FeatureBatches, HeadOnly, LimitedViews, with_features
from scanlens.training.fit import fit
from scanlens.training.recipe import Recipe, training_recipe
from tests.helpers.tiny import augmentation, model, training, transfer

CPU = Machine("cpu", "32", 1, 4)
VIEWS = 3
MakeBatches = Callable[..., ScanBatches]


class Counter:
    """Counts the scans that a backbone sees."""

    def __init__(self, network: Classifier) -> None:
        self.scans = 0
        network.backbone.register_forward_pre_hook(self)

    def __call__(self, backbone: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        self.scans += len(inputs[0])


@pytest.fixture
def head_fit(store: Store, batches: MakeBatches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Fit the head of a frozen network for three epochs; keywords change ``transfer``."""
    monkeypatch.chdir(tmp_path)
    runs = iter(range(100))

    def run(
        *,
        augment: bool = True,
        lr: float = 0.02,
        mixing: Mixing | None = None,
        network: Any = None,
        **changes: Any,
    ) -> tuple[Classifier, Counter, ScanBatches]:
        shape = network if network is not None else model(dropout=0.3, hidden=[5])
        chosen = transfer(mode="head", views=VIEWS, backbone_lr_scale=0.0, **changes)
        section = training(epochs=3, lr=lr, **({} if mixing is None else {"mixing": mixing}))
        recipe = training_recipe(section, chosen)
        architecture = resolve_model(shape, store.shape, 2)
        whole = build(architecture, 1)
        counter = Counter(whole)
        policy = build_policy(augmentation().policy, 2, 1) if augment else None
        learner, train, val = with_features(
            whole, architecture, batches("train", policy), batches("val"), chosen, augmentation(), recipe, CPU
        )  # fmt: skip
        fit(learner, train, val, recipe, CPU, tmp_path / f"fit{next(runs)}")
        return whole, counter, train

    return run


def probabilities(network: Classifier, store: Store, batches: MakeBatches) -> torch.Tensor:
    val = batches("val")
    with torch.no_grad():
        return network.eval()(val.__getitems__([(n, 0) for n in range(len(val))]).scans).softmax(1)


@pytest.mark.parametrize("network", [{}, {"hidden": [5]}, {"pooling": "flatten"}], ids=str)
@pytest.mark.parametrize("augment", [True, False])
def test_the_same_probabilities_as_without(
    head_fit: Any, store: Store, batches: MakeBatches, augment: bool, network: dict[str, Any]
) -> None:
    section = model(dropout=0.3, **network)
    kept, _, seen = head_fit(augment=augment, network=section)
    plain, _, unkept = head_fit(augment=augment, network=section, cache_features=False)
    assert isinstance(seen, FeatureBatches)
    assert not isinstance(unkept, FeatureBatches)
    fresh = build(resolve_model(section, store.shape, 2), 1)
    for name, tensor in fresh.backbone.state_dict().items():
        assert torch.equal(kept.backbone.state_dict()[name], tensor)
        assert torch.equal(plain.backbone.state_dict()[name], tensor)
    assert not torch.equal(kept.head.weight, fresh.head.weight)
    torch.testing.assert_close(
        probabilities(kept, store, batches), probabilities(plain, store, batches), rtol=0, atol=1e-5
    )


def test_the_backbone_runs_once_a_view_and_never_again(head_fit: Any, store: Store) -> None:
    train, val = len(store.rows("train")), len(store.rows("val"))
    _, counter, _ = head_fit()
    assert counter.scans == VIEWS * train + val
    _, again, _ = head_fit(lr=0.005)
    assert again.scans == 0
    _, unchanged, _ = head_fit(augment=False)
    # Validation features are those of the runs before.
    assert unchanged.scans == train
    _, uncached, _ = head_fit(cache_features=False)
    assert uncached.scans == 3 * (train + val)


def test_other_weights_or_views_have_features_of_their_own(head_fit: Any, store: Store) -> None:
    head_fit()
    count = len(list(feature_files.FEATURES.iterdir()))
    _, counter, _ = head_fit(network=model(width=0.5))
    assert counter.scans == VIEWS * len(store.rows("train")) + len(store.rows("val"))
    assert len(list(feature_files.FEATURES.iterdir())) == count + 2
    # Another head has the same features.
    _, head, _ = head_fit(network=model(dropout=0.0, head="sigmoid"))
    assert head.scans == 0


def test_whatever_decides_features_is_in_their_key(
    store: Store, batches: MakeBatches, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def key(batches: ScanBatches, machine: Machine = CPU, **changes: Any) -> str:
        architecture = replace(resolve_model(model(), store.shape, 2), **changes)
        return feature_files.feature_key(network, architecture, batches, {}, 1, machine)

    network = build(resolve_model(model(), store.shape, 2), 1)
    train = batches("train")
    keys = [key(train), key(batches("val")), key(train, replace(CPU, precision="bf16"))]
    # The same weights are another function under another activation or pooling.
    keys += [key(train, activation="tanh"), key(train, pooling="flatten"), key(train, stem="medium")]
    shifted = copy.copy(train)
    shifted.statistics = {**train.statistics, "mean": [0.9]}
    keys.append(key(shifted))
    assert len(set(keys)) == len(keys)
    assert key(train) == keys[0]
    # As do other sources, and nothing else of the package.
    shutil.copytree(code.PACKAGE, tmp_path / "package")
    monkeypatch.setattr(code, "PACKAGE", tmp_path / "package")
    assert key(train) == keys[0]
    (tmp_path / "package/cli.py").write_text("")
    assert key(train) == keys[0]
    (tmp_path / "package/augmentation/policy.py").write_text("")
    assert key(train) != keys[0]


def test_a_killed_run_goes_on_from_its_last_shard(
    head_fit: Any, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_files, "SHARD_BYTES", 4 * 32 * 5)
    whole, _, _ = head_fit()
    shards = sorted(feature_files.FEATURES.glob("*/*.npy"))
    assert len(shards) > 4
    content, rows = shards[0].read_bytes(), len(np.load(shards[0]))
    shards[0].unlink()
    again, counter, _ = head_fit()
    assert 0 < counter.scans <= rows
    assert shards[0].read_bytes() == content
    assert torch.equal(again.head.weight, whole.head.weight)


def test_a_damaged_shard_is_made_again(head_fit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_files, "SHARD_BYTES", 4 * 32 * 5)
    head_fit()
    empty, short, *_ = sorted(feature_files.FEATURES.glob("*/*.npy"))
    content = [empty.read_bytes(), short.read_bytes()]
    empty.write_bytes(b"")
    short.write_bytes(content[1][:-8])
    _, counter, _ = head_fit()
    assert counter.scans > 0
    assert [empty.read_bytes(), short.read_bytes()] == content


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), r"no space left.*transfer\.cache_features=false"),
        (torch.OutOfMemoryError("CUDA"), r"runtime\.batch_size=4.*Lower runtime\.batch_size"),
    ],
    ids=["disk", "memory"],
)
def test_what_stops_the_features_is_said_clearly(
    head_fit: Any, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    def fail(*_: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(feature_files.np, "save", fail)
        with pytest.raises(ScanlensError, match=said):
            head_fit()
    assert not list(feature_files.FEATURES.glob("*/*"))
    head_fit()


def test_views_differ_between_and_within_scans(batches: MakeBatches) -> None:
    scans = LimitedViews(batches("train", build_policy(augmentation().policy, 2, 1)), 2)
    seen = [scans.__getitems__([(0, seed)]).scans for seed in range(4)]
    assert torch.equal(seen[0], seen[2])
    assert torch.equal(seen[1], seen[3])
    assert not torch.equal(seen[0], seen[1])
    plain = batches("train")
    changes = [scans.__getitems__([(n, 0)]).scans - plain.__getitems__([(n, 0)]).scans for n in range(2)]
    assert not torch.allclose(changes[0], changes[1], atol=1e-3)


def test_head_only_is_the_rest_of_the_network(store: Store, batches: MakeBatches) -> None:
    network = build(resolve_model(model(hidden=[5]), store.shape, 2), 1).eval()
    scans = batches("val").__getitems__([(n, 0) for n in range(4)]).scans
    head = HeadOnly(network).eval()
    assert torch.equal(head(network.pool(network.features(scans))), network(scans))
    own = dict(network.named_parameters())
    for name, parameter in head.named_parameters():
        assert parameter is own[name]
        assert not name.startswith("backbone")


def test_where_features_can_not_be_kept_the_backbone_runs(
    head_fit: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, counter, seen = head_fit(mixing=Mixing(0.4, 0.0, 1.0))
    assert isinstance(seen, LimitedViews)
    assert counter.scans > 0
    assert "features are not kept: training.mixing" in capsys.readouterr().out
    monkeypatch.setattr(features, "MOST_FEATURE_BYTES", 100)
    _, _, seen = head_fit()
    assert isinstance(seen, LimitedViews)
    assert "more than" in capsys.readouterr().out


def test_other_modes_are_left_alone(store: Store, batches: MakeBatches) -> None:
    architecture = resolve_model(model(), store.shape, 2)
    network, train, val = build(architecture), batches("train"), batches("val")
    recipe = Recipe(1, 4, 0.01, 0.0, 0, 0)
    chosen = transfer(mode="full")
    assert with_features(network, architecture, train, val, chosen, augmentation(), recipe, CPU) == (
        network, train, val
    )  # fmt: skip
    several = replace(CPU, devices=2)
    chosen = transfer(mode="head")
    same, _, held = with_features(
        network, architecture, train, val, chosen, augmentation(), recipe, several
    )  # fmt: skip
    assert same is network
    assert held is val


def test_prune_removes_the_old_and_the_longest_unused(tmp_path: Path) -> None:
    for days, name in enumerate(["new", "recent", "older", "old"]):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.npy").write_bytes(b"x" * 100)
        then = time.time() - days * 10 * 86400 - 1
        os.utime(tmp_path / name, (then, then))
    prune_features(tmp_path, days=25)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "older", "recent"]
    prune_features(tmp_path, days=25, most=250)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "recent"]
    prune_features(tmp_path / "absent")

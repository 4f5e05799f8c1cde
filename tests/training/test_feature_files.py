"""Shards of features: which row is whose, what is computed again, what their key depends on."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from scanlens.augmentation.policy import build_policy
from scanlens.errors import ScanlensError
from scanlens.models.classifier import Classifier
from scanlens.models.registry import build, resolve_model
from scanlens.preprocess.store import Store
from scanlens.scaling.device import Machine
from scanlens.training import feature_files
from scanlens.training.datamodule import Part, ScanBatches
from scanlens.training.feature_files import compute, feature_key, prune_features
from scanlens.training.features import LimitedViews
from tests.helpers.tiny import augmentation, model

CPU = Machine("cpu", "32", 1, 4)
VIEWS = 2
MakeBatches = Callable[..., ScanBatches]


@pytest.fixture
def network(store: Store) -> Classifier:
    return build(resolve_model(model(), store.shape, 2), 1)


@pytest.fixture
def seen(batches: MakeBatches) -> LimitedViews:
    return LimitedViews(batches("train", build_policy(augmentation().policy, 2, 1)), VIEWS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "features").mkdir()
    return tmp_path / "features"


def width(network: Classifier) -> int:
    return int(network.head.weight.shape[1])


def made(network: Classifier, seen: ScanBatches, folder: Path, machine: Machine = CPU) -> list[np.ndarray]:
    return compute(network, seen, VIEWS, machine, folder, width(network))


def test_rows_go_view_by_view_through_the_shards(
    network: Classifier, seen: LimitedViews, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_files, "SHARD_BYTES", 4 * width(network) * 7)
    shards = made(network, seen, folder)
    assert [len(shard) for shard in shards] == [7, 7, 7, 7, 4]
    assert all(shard.dtype == np.float32 for shard in shards)
    rows = np.concatenate(shards)
    network.eval()
    for view in range(VIEWS):
        for position in range(len(seen)):
            with torch.no_grad():
                one = network.pool(network.features(seen.__getitems__([(position, view)]).scans))
            np.testing.assert_allclose(rows[view * len(seen) + position], one[0], atol=1e-5)


def test_the_network_goes_back_as_it_came(network: Classifier, seen: LimitedViews, folder: Path) -> None:
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.train()
    made(network, seen, folder)
    assert network.training
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), f"{name}: running statistics must not learn"


def test_what_is_there_is_read_and_counts_as_used(
    network: Classifier, seen: LimitedViews, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = [np.array(shard) for shard in made(network, seen, folder)]
    os.utime(folder, (0, 0))

    def never(*_: Any) -> None:
        raise AssertionError("the backbone ran again")

    monkeypatch.setattr(network, "features", never)
    again = made(network, seen, folder)
    assert all(np.array_equal(one, other) for one, other in zip(first, again, strict=True))
    prune_features(folder.parent, days=1)
    assert folder.is_dir()


def test_an_error_of_another_kind_stays_itself_and_leaves_no_shard(
    network: Classifier, seen: LimitedViews, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for error in (OSError(errno.EIO, "Input/output error"), RuntimeError("shapes differ")):

        def fail(*_: Any, error: Exception = error) -> None:
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(feature_files.np, "save", fail)
            with pytest.raises(type(error)) as caught:
                made(network, seen, folder)
        assert caught.value is error
        assert list(folder.iterdir()) == []


def test_too_little_memory_names_the_setting_and_keeps_what_is_done(
    network: Classifier, seen: LimitedViews, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_files, "SHARD_BYTES", 4 * width(network) * 8)
    calls = iter([True, True, True])
    features = network.features

    def short(scans: torch.Tensor) -> torch.Tensor:
        if not next(calls, False):
            raise MemoryError
        return features(scans)

    monkeypatch.setattr(network, "features", short)
    with pytest.raises(ScanlensError, match=r"runtime\.batch_size=4 .*what is done is kept"):
        made(network, seen, folder)
    assert [path.name for path in folder.iterdir()] == ["0000000000.npy"]


def test_the_key_hears_of_scans_views_changes_and_backbone_alone(
    network: Classifier, store: Store, batches: MakeBatches
) -> None:
    architecture, train = resolve_model(model(), store.shape, 2), batches("train")

    def key(scans: ScanBatches = train, changes: Any = None, views: int = 1, **machine: Any) -> str:
        return feature_key(network, architecture, scans, changes or {}, views, replace(CPU, **machine))

    own = key()
    backwards = ScanBatches([Part(store, store.rows("train")[::-1])], store.statistics, None)
    others = [key(backwards), key(changes={"noise": 0.1}), key(changes={"noise": 0.2}), key(views=2)]
    assert len({own, *others}) == 5
    assert key(batch_size=64, threads=3) == own, "how fast they are made is no part of them"
    with torch.no_grad():
        network.head.weight.add_(1)
    assert key() == own
    with torch.no_grad():
        next(network.backbone.parameters()).add_(1e-3)
    assert key() != own


def test_prune_keeps_exactly_what_fits_and_touches_no_files_beside(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("x" * 1000)
    for age, name in enumerate(["new", "old"]):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.npy").write_bytes(b"x" * 100)
        then = time.time() - 1000 * (age + 1)
        os.utime(tmp_path / name, (then, then))
    prune_features(tmp_path, days=1, most=200)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "note.txt", "old"]
    prune_features(tmp_path, days=1, most=199)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "note.txt"]

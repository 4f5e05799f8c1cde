"""That a batch is what the store holds, and that loaders give those they should."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from scanlens.augmentation.policy import build_policy
from scanlens.preprocess.intensity import standardise
from scanlens.preprocess.store import Store
from scanlens.training.datamodule import PATIENCE, Batch, Part, ScanBatches, ScanData, loader_workers
from tests.helpers.tiny import augmentation, write_store

Make = Callable[..., ScanBatches]


def test_batches_are_the_stores_scans_standardised(store: Store, batches: Make) -> None:
    made = batches("train")
    positions = [3, 0, 7, 3]
    scans, targets = made.__getitems__([(position, 0) for position in positions])
    rows = store.rows("train")[positions]
    assert np.array_equal(scans.numpy(), standardise(store.read(rows), store.statistics))
    assert np.array_equal(targets.numpy(), store.targets(rows))
    assert targets.dtype == torch.int64


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 8, 10), (2, 4, 6, 8)])
@pytest.mark.parametrize("augmented", [False, True])
def test_scans_are_float32_images_with_channels_last(
    shape: tuple[int, ...], augmented: bool, tmp_path: Path
) -> None:
    store = write_store(tmp_path / "other", shape=shape)
    policy = build_policy(augmentation().policy, len(shape) - 1, shape[0]) if augmented else None
    made = ScanBatches([Part(store, store.rows("train"))], store.statistics, policy)
    scans = made.__getitems__([(2, 5), (0, 6)]).scans
    assert scans.dtype == torch.float32
    if len(shape) == 3:
        assert scans.is_contiguous(memory_format=torch.channels_last)
    read = store.read(store.rows("train")[[2, 0]])
    changed = read if policy is None else policy.apply_batch(read, [5, 6])
    assert np.array_equal(scans.numpy(), standardise(changed, store.statistics))


def test_numbers_are_targets_too(store: Store, batches: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = np.linspace(-1, 1, len(store))
    monkeypatch.setattr(Store, "targets", lambda self, rows: numbers[rows])
    made = batches("train")
    targets = made.__getitems__([(3, 0), (0, 0)]).targets
    assert targets.dtype == torch.float32
    assert np.allclose(targets.numpy(), numbers[store.rows("train")[[3, 0]]])


def test_patients_follow_their_scans(store: Store) -> None:
    train = store.rows("train")
    parts = [Part(store, train[:5]), Part(store, train[5:])]
    made = ScanBatches(parts, store.statistics, None)
    assert made.patients.tolist() == [f"p{row}" for row in train]


def test_a_policy_changes_a_scan_by_its_seed_alone(store: Store, batches: Make) -> None:
    policy = build_policy(augmentation().policy, 2, 1)
    made = batches("train", policy)
    one, *_ = made.__getitems__([(3, 11), (0, 12)])
    two, *_ = made.__getitems__([(5, 10), (3, 11)])
    assert torch.equal(one[0], two[1])
    changed = policy.apply(store.read(store.rows("train")[[3]])[0], 11)
    assert np.array_equal(one[0].numpy(), standardise(changed[np.newaxis], store.statistics)[0])
    assert not torch.equal(one[0], batches("train").__getitems__([(3, 11)])[0][0])


def test_several_stores_count_through(store: Store, tmp_path: Path) -> None:
    made = write_store(tmp_path / "made", seed=9)
    parts = [Part(store, store.rows("train")), Part(made, np.zeros(0, int)), Part(made, np.array([4, 1]))]
    both = ScanBatches(parts, store.statistics, None)
    count = len(store.rows("train"))
    assert len(both) == count + 2
    scans, targets = both.__getitems__([(count, 0), (1, 0), (count + 1, 0)])
    expected = np.stack([made.read([4])[0], store.read(store.rows("train")[[1]])[0], made.read([1])[0]])
    assert np.array_equal(scans.numpy(), standardise(expected, store.statistics))
    assert targets.tolist() == [
        made.targets([4])[0],
        store.targets(store.rows("train")[[1]])[0],
        made.targets([1])[0],
    ]


class WatchedStore(Store):
    """Notes which rows were asked for."""

    def read(self, rows):
        self.asked = [*getattr(self, "asked", []), *map(int, rows)]
        return super().read(rows)


def test_training_never_reads_a_scan_of_val_or_test(store: Store, tmp_path: Path) -> None:
    watched = WatchedStore.open(tmp_path / "store")
    train = ScanBatches([Part(watched, watched.rows("train"))], watched.statistics, None)
    val = ScanBatches([Part(store, store.rows("val"))], store.statistics, None)
    data = ScanData(train, val, 3, 0, epoch_scans=40)
    loader = data.train_dataloader()
    for epoch in range(3):
        loader.batch_sampler.sampler.set_epoch(epoch)
        for _ in loader:
            pass
    assert set(watched.asked) == set(watched.rows("train").tolist())
    held_back = {*watched.rows("val").tolist(), *watched.rows("test").tolist()}
    assert held_back
    assert not held_back & set(watched.asked)


def test_loader_shapes(store: Store, batches: Make) -> None:
    data = ScanData(batches("train"), batches("val"), 5, 0, epoch_scans=0)
    train = list(data.train_dataloader())
    # 16 scans: three batches of five; the one left over has no batch statistics.
    assert [len(batch.targets) for batch in train] == [5, 5, 5]
    val = list(data.val_dataloader())
    assert [len(batch.targets) for batch in val] == [5, 3]
    assert np.array_equal(
        torch.cat([batch.targets for batch in val]).numpy(), store.targets(store.rows("val"))
    )


def test_balanced_sampling_draws_classes_equally(store: Store, batches: Make) -> None:
    rows = store.rows("train")
    most = np.concatenate([rows[store.targets(rows) == 0], rows[store.targets(rows) == 1][:2]])
    train = ScanBatches([Part(store, most)], store.statistics, None)
    counts = {}
    for sampling in ("plain", "balanced"):
        data = ScanData(train, batches("val"), 5, 0, epoch_scans=0, sampling=sampling)
        drawn = torch.cat([batch.targets for batch in data.train_dataloader()])
        counts[sampling] = torch.bincount(drawn).tolist()
        # Validation is never resampled.
        val = torch.cat([batch.targets for batch in data.val_dataloader()])
        assert np.array_equal(val.numpy(), store.targets(store.rows("val")))
    assert counts == {"plain": [8, 2], "balanced": [5, 5]}


def test_fewer_scans_than_a_batch_are_one_batch(batches: Make) -> None:
    data = ScanData(batches("train"), batches("val"), 64, 0, epoch_scans=0)
    assert [len(batch.targets) for batch in data.train_dataloader()] == [16]


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no priority of their own")
def test_batches_are_prepared_behind_the_arithmetic(store: Store, batches: Make) -> None:
    seen = []

    class Watched(ScanBatches):
        def __getitems__(self, drawn: list[tuple[int, int]]) -> Batch:
            seen.append((threading.get_ident(), os.getpriority(os.PRIO_PROCESS, threading.get_native_id())))
            return super().__getitems__(drawn)

    train = Watched([Part(store, store.rows("train"))], store.statistics, None)
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    list(ScanData(train, batches("val"), 5, 0, epoch_scans=0).train_dataloader())
    assert {priority for _, priority in seen} == {max(own, PATIENCE)}
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == own
    seen.clear()
    train.ahead = False
    list(ScanData(train, batches("val"), 5, 0, epoch_scans=0).train_dataloader())
    assert set(seen) == {(threading.get_ident(), own)}


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 8, 10), (2, 4, 6, 8)])
def test_parts_of_a_batch_are_prepared_as_the_whole(
    shape: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = write_store(tmp_path / "other", shape=shape)
    policy = build_policy(augmentation().policy, len(shape) - 1, shape[0])
    scans = ScanBatches([Part(store, store.rows("train"))], store.statistics, policy)
    drawn = [(number, 7 * number) for number in range(len(scans))]
    whole = scans.__getitems__(drawn).scans
    monkeypatch.setattr("scanlens.training.datamodule.NUMBERS_AT_A_TIME", 1)
    assert torch.equal(scans.__getitems__(drawn).scans, whole)


def test_a_processor_prepares_its_own_batches() -> None:
    assert loader_workers("cpu") == 0
    assert 1 <= loader_workers("cuda") <= 4

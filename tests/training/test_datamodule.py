"""Which scans an epoch draws, in which order, and that a batch is what the store holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from scanlens.augmentation.policy import build_policy
from scanlens.preprocess.intensity import standardise
from scanlens.preprocess.store import Store
from scanlens.training.datamodule import EpochOrder, Part, ScanBatches, ScanData, loader_workers
from tests.helpers.tiny import augmentation, write_store

Make = Callable[..., ScanBatches]


def drawn(order: EpochOrder, epoch: int) -> list[tuple[int, int]]:
    order.set_epoch(epoch)
    return list(order)


def test_an_epochs_order_depends_on_seed_and_epoch_alone() -> None:
    one, two = EpochOrder(20, 5, True), EpochOrder(20, 5, True)
    drawn(one, 0)
    assert drawn(one, 3) == drawn(two, 3) == drawn(two, 3)
    assert drawn(one, 3) != drawn(one, 4)
    assert drawn(one, 3) != drawn(EpochOrder(20, 6, True), 3)


@pytest.mark.parametrize(
    ("count", "at_least", "passes"),
    [(10, 0, 1), (10, 10, 1), (10, 11, 2), (10, 95, 10), (1, 3, 3), (7, 1, 1)],
)
def test_every_scan_is_drawn_as_often_as_any_other(count: int, at_least: int, passes: int) -> None:
    order = EpochOrder(count, 0, True, at_least)
    pairs = drawn(order, 2)
    assert len(order) == len(pairs) == count * passes >= at_least
    assert Counter(position for position, _ in pairs) == dict.fromkeys(range(count), passes)
    # Another change each time a scan comes.
    assert len({seed for _, seed in pairs}) == len(pairs)


def test_validation_comes_in_plain_order() -> None:
    assert [position for position, _ in drawn(EpochOrder(6, 0, False), 4)] == list(range(6))


def test_batches_are_the_stores_scans_standardised(store: Store, batches: Make) -> None:
    made = batches("train")
    positions = [3, 0, 7, 3]
    scans, targets = made.__getitems__([(position, 0) for position in positions])
    rows = store.rows("train")[positions]
    assert np.array_equal(scans.numpy(), standardise(store.read(rows), store.statistics))
    assert np.array_equal(targets.numpy(), store.targets(rows))


def test_a_policy_changes_a_scan_by_its_seed_alone(store: Store, batches: Make) -> None:
    policy = build_policy(augmentation().policy, 2, 1)
    made = batches("train", policy)
    one, _ = made.__getitems__([(3, 11), (0, 12)])
    two, _ = made.__getitems__([(5, 10), (3, 11)])
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
    assert [len(targets) for _, targets in train] == [5, 5, 5]
    val = list(data.val_dataloader())
    assert [len(targets) for _, targets in val] == [5, 3]
    assert np.array_equal(torch.cat([t for _, t in val]).numpy(), store.targets(store.rows("val")))


def test_fewer_scans_than_a_batch_are_one_batch(batches: Make) -> None:
    data = ScanData(batches("train"), batches("val"), 64, 0, epoch_scans=0)
    assert [len(targets) for _, targets in data.train_dataloader()] == [16]


def test_a_processor_prepares_its_own_batches() -> None:
    assert loader_workers("cpu") == 0
    assert 1 <= loader_workers("cuda") <= 4

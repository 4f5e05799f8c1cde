"""What is written is read, in any order."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from scanlens.errors import SettingsError
from scanlens.preprocess.store import Store, StoreWriter
from scanlens.types import ImageArray

WriteStore = Callable[..., Any]


@pytest.mark.parametrize(("rows", "shards"), [(0, 0), (1, 1), (4, 1), (5, 2), (8, 2), (10, 3)])
def test_round_trip_over_shard_boundaries(
    tmp_path: Path, write_store: WriteStore, rows: int, shards: int
) -> None:
    images = write_store(tmp_path, rows)
    store = Store.open(tmp_path)
    assert len(store) == rows
    assert len(list(tmp_path.glob("shard-*.npy"))) == shards
    found = store.read(np.arange(rows))
    assert found.dtype == np.float32
    assert found.shape == (rows, 2, 3, 5)
    assert np.abs(found - images).max(initial=0) <= 0.5 / 65535 + 1e-7


def test_rows_come_in_the_order_asked_for(tmp_path: Path, write_store: WriteStore) -> None:
    images = write_store(tmp_path)
    store = Store.open(tmp_path)
    rows = [9, 0, 4, 4, 3, 8]
    assert np.allclose(store.read(rows), images[rows], atol=1e-5)
    assert store.read([]).shape == (0, 2, 3, 5)
    for outside in ([10], [-1]):
        with pytest.raises(IndexError, match="asked of a store of 10"):
            store.read(outside)


def test_shards_are_ordinary_numpy_files(tmp_path: Path, write_store: WriteStore) -> None:
    images = write_store(tmp_path)
    stored = np.concatenate([np.load(path) for path in sorted(tmp_path.glob("shard-*.npy"))])
    assert stored.dtype == np.uint16
    assert np.array_equal(stored, np.rint(images * 65535))


def test_zero_and_one_are_kept_exactly(tmp_path: Path) -> None:
    index = pd.DataFrame([dict.fromkeys(("scan_id", "patient", "label", "split", "site", "path"), "a")])
    with StoreWriter(tmp_path, (1, 1, 2), ["a"], 1) as writer:
        writer.append(np.array([[[0, 1]]], np.float32))
        writer.close(index)
    assert Store.open(tmp_path).read([0]).tolist() == [[[[0.0, 1.0]]]]


def test_index_targets_and_splits(tmp_path: Path, write_store: WriteStore) -> None:
    write_store(tmp_path)
    store = Store.open(tmp_path)
    assert store.shape == (2, 3, 5)
    assert store.labels == ["a", "b"]
    assert store.index["scan_id"].tolist() == [f"id{row}" for row in range(10)]
    assert store.targets([0, 1, 9]).tolist() == [1, 0, 0]
    assert store.targets([0]).dtype == np.int64
    assert store.rows("train").tolist() == [0, 2, 4, 5, 7, 9]
    assert store.rows("test").tolist() == [3, 8]


def test_the_same_rows_give_the_same_bytes(tmp_path: Path, write_store: WriteStore) -> None:
    write_store(tmp_path / "one")
    write_store(tmp_path / "two")
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_a_new_store_replaces_the_old_one_whole(tmp_path: Path, write_store: WriteStore) -> None:
    write_store(tmp_path, 10)
    write_store(tmp_path, 3)
    assert len(list(tmp_path.glob("shard-*.npy"))) == 1
    assert len(Store.open(tmp_path)) == 3


def test_more_shards_than_are_kept_open(
    tmp_path: Path, write_store: WriteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scanlens.preprocess.store._OPEN_SHARDS", 2)
    images = write_store(tmp_path, 10, shard_rows=1)
    store = Store.open(tmp_path)
    for _ in range(2):
        assert np.allclose(store.read(range(10)), images, atol=1e-5)
    assert len(store._readers) == 2


def read_first(store: Store) -> Any:
    return store.read([0])


def test_a_store_goes_to_another_process_without_its_open_files(
    tmp_path: Path, write_store: WriteStore
) -> None:
    images = write_store(tmp_path)
    store = Store.open(tmp_path)
    store.read([0])
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert np.allclose(pool.apply(read_first, (store,)), images[:1], atol=1e-5)
    assert not store.__getstate__()["_readers"]


def write_rows(folder: Path, images: list[ImageArray]) -> None:
    with StoreWriter(folder, (1, 2, 2), ["a"], 4) as writer:
        for image in images:
            writer.append(image)


def test_an_interrupted_writer_leaves_no_store_and_no_half_shard(
    tmp_path: Path, write_store: WriteStore
) -> None:
    write_store(tmp_path)
    with pytest.raises(ValueError, match="expected an array of shape"):
        write_rows(tmp_path, [np.zeros((1, 2, 2), np.float32), np.zeros((1, 2, 3), np.float32)])
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(SettingsError, match=r"no store here .* Run the stage that writes"):
        Store.open(tmp_path)


@pytest.mark.parametrize("value", [-0.01, 1.01, np.nan])
def test_values_outside_the_unit_range_are_refused(tmp_path: Path, value: float) -> None:
    with (
        StoreWriter(tmp_path, (1, 1, 1), ["a"], 4) as writer,
        pytest.raises(ValueError, match=r"in \[0, 1\]"),
    ):
        writer.append(np.full((1, 1, 1), value, np.float32))


def test_missing_statistics_are_an_error_only_when_asked_for(tmp_path: Path, write_store: WriteStore) -> None:
    write_store(tmp_path)
    store = Store.open(tmp_path)
    with pytest.raises(SettingsError, match=r"statistics\.json"):
        _ = store.statistics

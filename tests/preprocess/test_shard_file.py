"""A shard is a NumPy file, whole under its name or absent."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from scanlens.atomic import beside
from scanlens.preprocess.shard_file import (
    DTYPE,
    SCALE,
    ShardReader,
    ShardWriter,
    quantise,
    row_bytes,
    shard_header,
    shard_path,
)

SHAPE = (2, 3, 4)


def rows(count: int) -> np.ndarray:
    return np.random.default_rng(0).random((count, *SHAPE), dtype=np.float32)


def test_numpy_reads_what_was_written(tmp_path: Path) -> None:
    images, path = rows(5), shard_path(tmp_path, 7)
    with ShardWriter(path, SHAPE) as shard:
        for image in images:
            shard.append(quantise(image).tobytes())
        assert not path.exists()
        shard.finish()
    stored = np.load(path, mmap_mode="r", allow_pickle=False)
    assert stored.dtype == np.uint16
    assert np.abs(stored / SCALE - images).max() <= 0.5 / SCALE + 1e-7
    assert [file.name for file in tmp_path.iterdir()] == ["shard-00007.npy"]
    assert path.stat().st_size == len(shard_header(5, SHAPE)) + 5 * row_bytes(SHAPE)


def test_left_before_it_is_finished_it_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="on the way"), ShardWriter(tmp_path / "a.npy", SHAPE) as shard:  # noqa: PT012
        shard.append(quantise(rows(1)[0]).tobytes())
        raise RuntimeError("on the way")
    assert not list(tmp_path.iterdir())


def test_a_finished_shard_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    for count in (2, 3):
        with ShardWriter(path, SHAPE) as shard:
            for image in rows(count):
                shard.append(quantise(image).tobytes())
            shard.finish()
    assert len(np.load(path)) == 3


@pytest.mark.parametrize("value", [-0.001, 1.001, np.nan])
def test_values_beyond_the_range_are_refused(value: float) -> None:
    image = rows(1)[0]
    image[0, 0, 0] = value
    with pytest.raises(ValueError, match=r"expected values in \[0, 1\]"):
        quantise(image)


def test_rows_are_read_by_many_threads_at_once(tmp_path: Path) -> None:
    images, path = rows(50), shard_path(tmp_path, 0)
    with ShardWriter(path, SHAPE) as shard:
        for image in images:
            shard.append(quantise(image).tobytes())
        shard.finish()
    reader = ShardReader(path, SHAPE)

    def read(row: int) -> np.ndarray:
        stored = np.empty(SHAPE, DTYPE)
        reader.read(row, stored)
        return stored

    wanted = np.random.default_rng(1).integers(0, 50, 2000).tolist()
    with ThreadPoolExecutor(4) as threads:
        found = np.stack(list(threads.map(read, wanted)))
    assert np.array_equal(found, quantise(images)[wanted])


def test_a_file_that_was_cut_meanwhile_is_named(tmp_path: Path) -> None:
    path = shard_path(tmp_path, 0)
    with ShardWriter(path, SHAPE) as shard:
        for image in rows(2):
            shard.append(quantise(image).tobytes())
        shard.finish()
    reader = ShardReader(path, SHAPE)
    os.truncate(path, path.stat().st_size - 1)
    stored = np.empty(SHAPE, DTYPE)
    reader.read(0, stored)
    with pytest.raises(OSError, match=r"shard-00000\.npy: ends within row 1"):
        reader.read(1, stored)


def test_headers_of_any_number_of_rows_are_of_one_length() -> None:
    assert len({len(shard_header(count, SHAPE)) for count in (0, 1, 10**9)}) == 1


def test_no_two_unfinished_files_share_a_name(tmp_path: Path) -> None:
    names = {beside(tmp_path / "a.npy") for _ in range(100)}
    assert len(names) == 100
    assert all(name.name.startswith(".a.npy.") and name.suffix == ".part" for name in names)

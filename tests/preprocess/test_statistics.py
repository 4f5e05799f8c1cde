"""Streaming statistics against NumPy's over everything at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scanlens.errors import SettingsError
from scanlens.preprocess.intensity import standardise
from scanlens.preprocess.statistics import STD_FLOOR, training_statistics, write_statistics
from scanlens.preprocess.store import Store

WriteStore = Callable[..., Any]


def test_as_numpy_over_the_training_rows_only(tmp_path: Path, write_store: WriteStore) -> None:
    write_store(tmp_path, 23)
    store = Store.open(tmp_path)
    train = store.read(store.rows("train")).astype(np.float64)
    found = training_statistics(store)
    assert found["scans"] == len(train)
    assert np.allclose(found["mean"], train.mean(axis=(0, 2, 3)), rtol=0, atol=1e-12)
    assert np.allclose(found["std"], train.std(axis=(0, 2, 3)), rtol=0, atol=1e-9)


def test_standardised_training_rows_have_mean_0_and_std_1(tmp_path: Path, write_store: WriteStore) -> None:
    write_store(tmp_path, 40)
    store = Store.open(tmp_path)
    statistics = write_statistics(store)
    assert store.statistics == statistics
    inputs = standardise(store.read(store.rows("train")), store.statistics)
    assert inputs.dtype == np.float32
    assert np.allclose(inputs.mean(axis=(0, 2, 3)), 0, atol=1e-5)
    assert np.allclose(inputs.std(axis=(0, 2, 3)), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("target", "lower", "upper"), [("unit", 0, 1), ("centred", -0.5, 0.5), ("symmetric", -1, 1)]
)
def test_fixed_ranges(
    tmp_path: Path, write_store: WriteStore, target: Any, lower: float, upper: float
) -> None:
    write_store(tmp_path, 10)
    statistics = write_statistics(Store.open(tmp_path), target)
    assert statistics["range"] == target
    assert Store.open(tmp_path).statistics == statistics
    ends = np.stack([np.zeros((2, 3, 5), np.float32), np.ones((2, 3, 5), np.float32)])
    inputs = standardise(ends, statistics)
    assert inputs.dtype == np.float32
    assert (inputs[0] == lower).all()
    assert (inputs[1] == upper).all()


def test_equal_values_get_the_least_deviation(tmp_path: Path, write_store: WriteStore) -> None:
    write_store(tmp_path, 1, shape=(1, 1, 1))
    assert training_statistics(Store.open(tmp_path))["std"] == [STD_FLOOR]


def test_no_training_row_is_refused(tmp_path: Path, write_store: WriteStore) -> None:
    write_store(tmp_path, 0)
    with pytest.raises(SettingsError, match="no training scan"):
        training_statistics(Store.open(tmp_path))

"""Logits of stored scans do not depend on how they are batched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from scanlens.models.ensemble import Ensemble
from scanlens.models.predict import local_logits, predict, to_input
from scanlens.models.registry import build, resolve_model
from tests.helpers.tiny import model, write_store


@pytest.mark.parametrize("shape", [(1, 16, 12), (3, 16, 16), (1, 8, 8, 8)])
def test_logits_are_forward_of_the_standardised_scans(tmp_path: Path, shape: tuple[int, ...]) -> None:
    store = write_store(tmp_path, shape=shape)
    network = build(resolve_model(model(), shape, 2))
    rows = np.array([5, 0, 3, 3, 11])
    logits = predict(network, store, rows, store.statistics, 2, "cpu")
    assert not network.training
    statistics = store.statistics
    mean, std = (np.reshape(statistics[key], (-1, *[1] * (len(shape) - 1))) for key in ("mean", "std"))
    scans = torch.from_numpy(((store.read(rows) - mean) / std).astype(np.float32))
    with torch.inference_mode():
        expected = network(scans).numpy()
    assert logits.shape == (5, 2)
    assert np.allclose(logits, expected, atol=1e-5)
    assert np.array_equal(logits[2], logits[3])


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_the_batch_size_changes_rounding_at_most(tmp_path: Path, batch_size: int) -> None:
    store = write_store(tmp_path)
    network = build(resolve_model(model(), store.shape, 2))
    rows = np.arange(len(store))
    expected = predict(network, store, rows, store.statistics, 7, "cpu")
    assert np.allclose(
        predict(network, store, rows, store.statistics, batch_size, "cpu"), expected, atol=1e-5
    )


def test_local_logits_come_with_their_rows(tmp_path: Path) -> None:
    store = write_store(tmp_path)
    network = build(resolve_model(model(), store.shape, 2))
    rows = store.rows("test")[::-1]
    batches = list(local_logits(network, store, rows, store.statistics, 3, "cpu"))
    assert np.array_equal(np.concatenate([batch.rows for batch in batches]), rows)
    whole = np.concatenate([batch.local for batch in batches])
    assert whole.dtype == np.float32
    logits = predict(network, store, rows, store.statistics, 3, "cpu")
    assert np.allclose(whole.mean((2, 3)), logits, atol=1e-6)
    bias = network.head.bias.detach().numpy()
    assert all(np.array_equal(batch.rest, np.broadcast_to(bias, batch.rest.shape)) for batch in batches)
    cams = np.concatenate([batch.cams for batch in batches])
    assert np.allclose(cams.sum((2, 3)) + bias, logits, atol=1e-6), "Grad-CAM under average pooling"


@pytest.mark.parametrize("head", ["softmax", "ordinal", "regression"])
@pytest.mark.parametrize("hidden", [[], [5]])
def test_every_head_gives_one_logit_a_class(tmp_path: Path, head: str, hidden: list[int]) -> None:
    store = write_store(tmp_path, labels=("a", "b", "c"))
    made = resolve_model(model(head=head, hidden=hidden, pooling="flatten"), store.shape, 3)
    single = [build(made, seed) for seed in range(2)]
    rows = store.rows("test")
    expected = [predict(network, store, rows, store.statistics, 4, "cpu") for network in single]
    assert expected[0].shape == (6, 3)
    together = predict(Ensemble(single), store, rows, store.statistics, 4, "cpu")
    assert np.allclose(together, np.mean(expected, axis=0), atol=1e-5)


def test_no_rows_give_no_logits(tmp_path: Path) -> None:
    store = write_store(tmp_path)
    network = build(resolve_model(model(), store.shape, 2))
    assert predict(network, store, np.zeros(0, int), store.statistics, 4, "cpu").shape == (0, 2)


def test_the_input_is_standardised_once(tmp_path: Path) -> None:
    store = write_store(tmp_path)
    scans = store.read(store.rows("train"))
    tensor = to_input(scans, store.statistics, "cpu")
    assert tensor.dtype == torch.float32
    assert tensor.is_contiguous(memory_format=torch.channels_last)
    assert abs(float(tensor.mean())) < 1e-4
    assert abs(float(tensor.std()) - 1) < 1e-2

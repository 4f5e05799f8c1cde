from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.neighbors import NearestNeighbors
from torch import nn

from scanlens.errors import ScanlensError
from scanlens.explanation.neighbours import nearest, nearest_training, pooled_features
from scanlens.models.classifier import Classifier
from scanlens.models.ensemble import Ensemble
from scanlens.preprocess.store import Store, StoreWriter

STATISTICS: dict[str, object] = {"mean": [0.5], "std": [0.25]}


def network(seed: int = 0) -> Classifier:
    torch.manual_seed(seed)
    backbone = nn.Sequential(nn.Conv2d(1, 6, 3, stride=2), nn.ReLU(), nn.BatchNorm2d(6))
    return Classifier(backbone, 6, 3, dropout=0.5).eval()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """20 training scans, then 4 test scans; test scan 21 is a copy of training scan 7."""
    images = np.random.default_rng(1).random((24, 1, 16, 12), dtype=np.float32)
    images[21] = images[7]
    index = pd.DataFrame(
        {
            "scan_id": [f"{row:016x}" for row in range(24)],
            "label": "a",
            "split": ["train"] * 20 + ["test"] * 4,
            "patient": [f"p{row}" for row in range(24)],
            "site": "",
            "path": "",
        }
    )
    with StoreWriter(tmp_path / "store", (1, 16, 12), ["a", "b", "c"], shard_rows=10) as writer:
        for image in images:
            writer.append(image)
        writer.close(index)
    return Store.open(tmp_path / "store")


@pytest.mark.parametrize("batch", [1, 7, 100])
def test_neighbours_are_those_of_an_exact_search(batch: int) -> None:
    rng = np.random.default_rng(2)
    features, queries = rng.normal(size=(60, 9)), rng.normal(size=(5, 9))
    rows = rng.permutation(1000)[:60]
    batches = [(rows[at : at + batch], features[at : at + batch]) for at in range(0, 60, batch)]
    found = nearest(queries, batches, 4)
    search = NearestNeighbors(n_neighbors=4, metric="cosine", algorithm="brute").fit(features)
    distances, cells = search.kneighbors(queries)
    assert [[one.row for one in own] for own in found] == rows[cells].tolist()
    np.testing.assert_allclose([[one.distance for one in own] for own in found], distances, atol=1e-6)


def test_equally_near_scans_come_in_the_order_of_their_rows() -> None:
    same = np.ones((3, 2))
    found = nearest(np.ones((1, 2)), [(np.array([9, 4]), same[:2]), (np.array([1]), same[:1])], 2)
    assert [one.row for one in found[0]] == [1, 4]


def test_few_or_no_training_scans_and_features_of_zero() -> None:
    assert nearest(np.ones((2, 3)), [], 3) == [[], []]
    found = nearest(np.zeros((1, 3)), [(np.array([5]), np.ones((1, 3)))], 3)
    assert [(one.row, one.distance) for one in found[0]] == [(5, 1)]


def test_features_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ScanlensError, match="not finite"):
        nearest(np.full((1, 3), np.nan), [], 3)


@pytest.mark.parametrize("batch", [3, 64])
def test_neighbours_come_from_the_training_split_alone(store: Store, batch: int) -> None:
    found = nearest_training(network(), store, store.rows("test"), STATISTICS, batch, "cpu", 5)
    assert sorted(found) == [20, 21, 22, 23]
    assert {one.row for own in found.values() for one in own} <= set(range(20))
    assert all(len(own) == 5 for own in found.values())
    assert found[21][0].row == 7
    assert found[21][0].distance == pytest.approx(0, abs=1e-6)
    assert found[20][0].distance > 1e-6


def test_features_are_what_the_network_pools(store: Store) -> None:
    own = network()
    ((rows, found),) = pooled_features(own, store, np.arange(4), STATISTICS, 8, "cpu")
    scans = torch.from_numpy((store.read([0, 1, 2, 3]) - 0.5) / 0.25)
    with torch.inference_mode():
        pooled = own.pool(own.features(scans)).numpy()
    np.testing.assert_allclose(found, pooled / np.linalg.norm(pooled, axis=1, keepdims=True), atol=1e-6)
    assert rows.tolist() == [0, 1, 2, 3]


def test_an_ensemble_takes_the_mean_of_its_members_cosines(store: Store) -> None:
    members = [network(0), network(1)]
    rows = store.rows("test")
    together = nearest_training(Ensemble(members), store, rows, STATISTICS, 8, "cpu", 20)
    single = [nearest_training(one, store, rows, STATISTICS, 8, "cpu", 20) for one in members]
    for row in rows:
        means = {
            training: np.mean([{one.row: one.distance for one in own[row]}[training] for own in single])
            for training in range(20)
        }
        for one in together[row]:
            assert one.distance == pytest.approx(means[one.row], abs=1e-5)


def test_nothing_asked_nothing_computed(store: Store) -> None:
    assert nearest_training(network(), store, np.array([20]), STATISTICS, 8, "cpu", 0) == {20: []}

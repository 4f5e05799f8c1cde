"""Learning without labels: it falls, it repeats, it helps, and no label is looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from scanlens.atomic import write_json
from scanlens.augmentation.policy import build_policy
from scanlens.config.schema import Policy
from scanlens.errors import SettingsError
from scanlens.models.classifier import Classifier
from scanlens.models.predict import to_input
from scanlens.models.registry import build, resolve_model
from scanlens.models.transfer import initialise
from scanlens.models.weights import read_weights, save_weights
from scanlens.preprocess.statistics import training_statistics
from scanlens.preprocess.store import Store, StoreWriter
from scanlens.pretraining.run import pretrain
from scanlens.pretraining.self_supervised import ViewPairs, build_projector, mean_features
from scanlens.scaling.device import Machine
from scanlens.training.datamodule import Part, ScanBatches
from tests.helpers.tiny import augmentation, model, pretraining, transfer, write_store

CPU = Machine("cpu", "32", 1, 8)
NETWORK = model(dropout=0.0)
STRONG = Policy(
    rotate_deg=0.0, translate=0.2, scale=0.0, brightness=0.4, contrast=0.4, gamma=0.5, noise=0.05, blur=0.0,
    horizontal_flip=0.5,
)  # fmt: skip


def write_textures(folder: Path, *, train: int, labels: tuple[str, ...] = ("fine", "coarse")) -> Store:
    """Checks of two sizes at random places, brightness and contrast: only texture tells the classes apart."""
    rng = np.random.default_rng(0)
    rows = [(label, split) for label in labels for split in ["train"] * train + ["val"] * 16]
    rows = [rows[place] for place in rng.permutation(len(rows))]
    index = pd.DataFrame(rows, columns=["label", "split"])
    index["scan_id"] = [f"{number:016x}" for number in range(len(rows))]
    index["patient"] = [f"p{number}" for number in range(len(rows))]
    index["site"], index["path"] = "", ""
    y, x = np.mgrid[:16, :16]
    with StoreWriter(folder, (1, 16, 16), list(labels), 64) as writer:
        for label, _ in rows:
            side = 1 + 2 * labels.index(label)
            dx, dy = rng.integers(0, 16, 2)
            board = ((x + dx) // side + (y + dy) // side) % 2
            image = rng.uniform(0.3, 0.6) + rng.uniform(0.05, 0.3) * board + rng.normal(0, 0.05, (16, 16))
            writer.append(np.clip(image, 0, 1).astype(np.float32)[None])
        writer.close(index)
    store = Store.open(folder)
    write_json(folder / "statistics.json", training_statistics(store))
    return store


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the stage; keywords change section ``pretraining``."""
    monkeypatch.chdir(tmp_path)

    def run(output: str, real: str = "real", made: int = 0, **changes: Any) -> dict[str, Any]:
        with StoreWriter(tmp_path / "made", Store.open(tmp_path / real).shape, ["a", "b"], 8) as writer:
            columns = ["scan_id", "patient", "label", "split", "site", "path"]
            writer.close(pd.DataFrame(columns=columns, dtype=str))
        if made:
            write_store(tmp_path / "made", train=made, other=0, seed=4)
        (tmp_path / output).mkdir()
        section = pretraining(
            **{"method": "self_supervised", "policy": STRONG, "batch_size": 16, "lr": 0.003, **changes}
        )
        return pretrain(
            tmp_path / real, tmp_path / "made", NETWORK, transfer(source="pretraining"), section,
            augmentation(), CPU, tmp_path / output,
        )  # fmt: skip

    return run


def probe(network: Classifier, store: Store) -> float:
    """Validation accuracy of a linear classifier on pooled features of the training split."""
    pooled = {}
    for split in ("train", "val"):
        scans = to_input(store.read(store.rows(split)), store.statistics, "cpu")
        with torch.no_grad():
            pooled[split] = mean_features(network.eval().features(scans)).numpy()
    mean, std = pooled["train"].mean(0), pooled["train"].std(0) + 1e-6
    fitted = LogisticRegression(max_iter=1000).fit(
        (pooled["train"] - mean) / std, store.targets(store.rows("train"))
    )
    return float(fitted.score((pooled["val"] - mean) / std, store.targets(store.rows("val"))))


def test_it_helps_where_random_features_do_not(call: Any, tmp_path: Path) -> None:
    store = write_textures(tmp_path / "real", train=24)
    facts = call("out", epochs=12, epoch_scans=192)
    assert facts["method"] == "self_supervised"
    assert facts["scans"] == 48
    history = pd.read_csv(tmp_path / "out" / "pretraining.csv")
    assert history["val_loss"].iloc[-3:].mean() < 0.9 * history["val_loss"].iloc[0]
    assert history["train_loss"].iloc[-1] < 0.9 * history["train_loss"].iloc[0]
    assert facts["val_loss"] == pytest.approx(history["val_loss"].min())
    architecture = resolve_model(NETWORK, store.shape, 2)
    scores = [probe(build(architecture, seed), store) for seed in range(5)]
    learnt = build(architecture, 0)
    first = initialise(
        learnt, architecture, transfer(source="pretraining"), tmp_path / "out" / "model.safetensors"
    )
    assert first.match.missing == []
    assert probe(learnt, store) >= max(scores)
    assert probe(learnt, store) > np.mean(scores) + 0.05


@pytest.mark.parametrize("shape", [(1, 16, 16), (1, 12, 12, 12)], ids=["image", "volume"])
def test_it_repeats_to_the_byte_and_looks_at_no_label(
    call: Any, tmp_path: Path, shape: tuple[int, ...]
) -> None:
    write_store(tmp_path / "real", shape=shape, train=8)
    call("out", epochs=2)
    call("again", epochs=2)
    store = Store.open(tmp_path / "real")
    table = store.index.copy()
    table.loc[table["split"] != "test", "label"] = "dark"
    table.to_parquet(tmp_path / "real" / "index.parquet")
    call("unlabelled", epochs=2)
    first = (tmp_path / "out" / "model.safetensors").read_bytes()
    for folder in ("again", "unlabelled"):
        assert (tmp_path / folder / "model.safetensors").read_bytes() == first
    fresh = build(resolve_model(NETWORK, shape, 2), 0)
    save = tmp_path / "fresh.safetensors"
    save_weights(fresh, save)
    learnt = read_weights(tmp_path / "out" / "model.safetensors")
    changed = [name for name, tensor in read_weights(save).items() if not torch.equal(tensor, learnt[name])]
    assert any(name.startswith("backbone.") for name in changed)
    assert not any(name.startswith("head.") for name in changed)


@pytest.mark.parametrize(
    "change", [{"projection": 8}, {"policy": augmentation().policy}, {"seed": 5}, {"lr": 0.01}], ids=str
)
def test_every_setting_changes_something(call: Any, tmp_path: Path, change: dict[str, Any]) -> None:
    write_store(tmp_path / "real", train=8)
    call("out")
    call("other", **change)
    texts = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("out", "other")]
    assert texts[0] != texts[1]


def test_made_scans_are_learnt_from_too(call: Any, tmp_path: Path) -> None:
    write_store(tmp_path / "real", train=8)
    assert call("out")["scans"] == 16
    assert call("more", made=4)["scans"] == 24


def test_pairs_of_views(tmp_path: Path) -> None:
    store = write_store(tmp_path / "real", train=4)
    policy = build_policy(STRONG, 2, 1)
    plain = ScanBatches([Part(store, store.rows("train"))], store.statistics, policy)
    pairs, fixed = ViewPairs(plain), ViewPairs(plain, fixed=True)
    first, second = pairs.__getitems__([(0, 3), (1, 4)]).scans.chunk(2)
    assert not torch.equal(first, second)
    assert torch.equal(first, plain.__getitems__([(0, 6), (1, 8)]).scans)
    assert torch.equal(second, plain.__getitems__([(0, 7), (1, 9)]).scans)
    assert torch.equal(fixed.__getitems__([(1, 5)]).scans, fixed.__getitems__([(1, 6)]).scans)
    assert not torch.equal(pairs.__getitems__([(1, 5)]).scans, pairs.__getitems__([(1, 6)]).scans)
    single = ScanBatches([Part(store, store.rows("val")[:1])], store.statistics, policy)
    with pytest.raises(SettingsError, match="needs two scans"):
        ViewPairs(single)


def test_the_projector_is_its_own_seed(tmp_path: Path) -> None:
    network = build(resolve_model(model(pooling="flatten"), (1, 16, 16), 2), 0)
    one, two, other = (build_projector(network, (1, 16, 16), 8, seed) for seed in (0, 0, 1))
    assert torch.equal(one.layers[0].weight, two.layers[0].weight)
    assert not torch.equal(one.layers[0].weight, other.layers[0].weight)
    # As many features as there are, not as many as flattening makes of them.
    assert one.layers[0].in_features == network.features(torch.zeros(1, 1, 16, 16)).shape[1]

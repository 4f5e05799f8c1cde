"""Further columns as targets: where they come from, what they become, and how they shape the features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from sklearn.preprocessing import StandardScaler

from scanlens.augmentation.bank import BANK_COLUMNS as BANK
from scanlens.config.schema import AuxiliaryTask
from scanlens.errors import SettingsError
from scanlens.models.registry import build, resolve_model
from scanlens.sources.listing.metadata import anonymous_columns
from scanlens.training.auxiliary import AuxiliaryHeads, AuxiliaryTarget, auxiliary_heads, read_auxiliary
from tests.helpers.tiny import model

IDS = [f"scan{n}" for n in range(8)]
TRAIN = IDS[:6]
AGES = ["40", "71", "", "55", "62", "40", "90", "18"]
SEXES = ["F", "M", "M", "", "F", "F", "M", "X"]


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Folders of a manifest with two sites and of what the label table says besides."""
    text = {name: [""] * 8 for name in ("modality", "photometric", "orientation", "burned_in")}
    manifest = pd.DataFrame(
        {"scan_id": IDS, "site": ["a", "a", "b", "b"] * 2, "bits": 8, "channels": 1, **text}
    )
    manifest.to_parquet(tmp_path / "manifest.parquet")
    table = pd.DataFrame({"age": AGES, "sex": SEXES, "smoker": ["0", "1"] * 4})
    anonymous_columns(table, b"key").to_parquet(tmp_path / "metadata.parquet")
    return tmp_path, tmp_path


def tasks(*columns: str, kind: str = "auto", weight: float = 0.5) -> list[AuxiliaryTask]:
    return [AuxiliaryTask(column, kind, weight) for column in columns]


def test_numbers_are_standardised_by_the_training_scans(folders: tuple[Path, Path]) -> None:
    targets = read_auxiliary(tasks("age"), TRAIN, *folders)
    assert targets.tasks == (AuxiliaryTarget("age", 0.5, 0),)
    ranks = pd.to_numeric(pd.Series(AGES)).rank(method="dense").to_numpy()[:, None]
    expected = StandardScaler().fit(ranks[:6]).transform(ranks)[:, 0]
    assert np.allclose(targets.values["age"], expected, equal_nan=True)


def test_text_becomes_classes_of_the_training_scans(folders: tuple[Path, Path]) -> None:
    targets = read_auxiliary(tasks("sex", "site", "smoker"), TRAIN, *folders)
    assert [task.classes for task in targets.tasks] == [2, 2, 2]
    sex = targets.values["sex"].to_numpy()
    # Unknown, and a value that no training scan has, are left out.
    assert np.isnan(sex).tolist() == [False, False, False, True, False, False, False, True]
    assert sex[0] == sex[4] == sex[5] != sex[1] == sex[2] == sex[6]
    assert targets.values["site"].tolist() == [0, 0, 1, 1] * 2
    assert targets.values["smoker"].tolist() == [0, 1] * 4


def test_kind_overrules(folders: tuple[Path, Path]) -> None:
    assert read_auxiliary(tasks("age", kind="class"), TRAIN, *folders).tasks[0].classes == 4
    assert read_auxiliary(tasks("smoker", kind="number"), TRAIN, *folders).tasks[0].classes == 0
    with pytest.raises(SettingsError, match="'sex' is text, kind=number"):
        read_auxiliary(tasks("sex", kind="number"), TRAIN, *folders)


def test_an_unknown_column_names_those_there_are(folders: tuple[Path, Path]) -> None:
    with pytest.raises(SettingsError, match=r"no column 'weight'.*\n?.*site, age, sex, smoker"):
        read_auxiliary(tasks("weight"), TRAIN, *folders)
    (folders[1] / "metadata.parquet").unlink()
    with pytest.raises(SettingsError, match=r"no column 'age'.*\n?.*there are: site\."):
        read_auxiliary(tasks("age"), TRAIN, *folders)


def test_the_label_and_its_relatives_are_no_columns(folders: tuple[Path, Path]) -> None:
    for name in ("label", "split", "patient", "scan_id"):
        with pytest.raises(SettingsError, match=f"no column '{name}'"):
            read_auxiliary(tasks(name), TRAIN, *folders)


def test_what_can_not_be_learnt_is_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="fewer than two values in the training split"):
        read_auxiliary(tasks("site"), IDS[:2], *folders)
    with pytest.raises(SettingsError, match="no manifest here"):
        read_auxiliary(tasks("age"), TRAIN, tmp_path / "nowhere", tmp_path)
    pd.DataFrame({"age": [1.0, 2.0]}).to_parquet(tmp_path / "metadata.parquet")
    with pytest.raises(SettingsError, match="2 rows, but the manifest has 8"):
        read_auxiliary(tasks("age"), TRAIN, *folders)
    assert read_auxiliary([], TRAIN, tmp_path / "nowhere", tmp_path) is None


def test_rows_are_found_by_scan_and_copies_by_their_parent(folders: tuple[Path, Path]) -> None:
    targets = read_auxiliary(tasks("age", "sex"), TRAIN, *folders)
    store = targets.of(pd.DataFrame({"scan_id": ["scan4", "scan0", "made"]}))
    assert store.dtype == np.float32
    assert store.shape == (3, 2)
    assert np.isnan(store[2]).all()
    bank = pd.DataFrame({name: ["x"] for name in BANK}).assign(parents=["scan4"])
    assert np.array_equal(targets.of(bank)[0], store[0])


def test_losses_are_those_of_what_is_known() -> None:
    heads = AuxiliaryHeads([AuxiliaryTarget("age", 0.3, 0), AuxiliaryTarget("site", 2.0, 3)], 5, 0)
    pooled = torch.randn(4, 5)
    nan = float("nan")
    values = torch.tensor([[0.5, 1], [nan, 2], [-1.0, nan], [2.0, 0]])
    number, label = (layer(pooled) for layer in heads.layers)
    known = [0, 2, 3]
    mse = F.mse_loss(number[known, 0], values[known, 0])
    cross = F.cross_entropy(label[[0, 1, 3]], torch.tensor([1, 2, 0]))
    assert torch.allclose(heads(pooled, values), 0.3 * mse + 2.0 * cross)


def test_nothing_known_costs_nothing_and_still_has_gradients() -> None:
    heads = AuxiliaryHeads([AuxiliaryTarget("age", 1.0, 0), AuxiliaryTarget("site", 1.0, 3)], 5, 0)
    loss = heads(torch.randn(4, 5), torch.full((4, 2), float("nan")))
    loss.backward()
    assert loss.item() == 0
    assert all((p.grad == 0).all() for p in heads.parameters())


def test_layers_fit_what_the_network_pools(folders: tuple[Path, Path]) -> None:
    targets = read_auxiliary(tasks("age", "sex"), TRAIN, *folders)
    for changes in ({}, {"pooling": "flatten"}, {"hidden": [7]}, {"head": "ordinal"}):
        network = build(resolve_model(model(**changes), (1, 16, 16), 3), 0)
        heads = auxiliary_heads(targets, network, 0)
        pooled = network.pool(network.features(torch.randn(2, 1, 16, 16)))
        heads(pooled, torch.zeros(2, 2)).backward()
    assert auxiliary_heads(None, network, 0) is None
    state = torch.random.get_rng_state()
    one, two, other = (auxiliary_heads(targets, network, seed) for seed in (0, 0, 1))
    assert torch.equal(one.layers[0].weight, two.layers[0].weight)
    assert not torch.equal(one.layers[0].weight, other.layers[0].weight)
    assert torch.equal(state, torch.random.get_rng_state())

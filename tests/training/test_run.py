"""The stage: which stores it learns from, what it writes, and that two runs agree to the byte."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from scanlens.errors import ScanlensError
from scanlens.models.registry import build, resolve
from scanlens.models.saved import load_model
from scanlens.models.weights import save_weights
from scanlens.preprocess.store import Store
from scanlens.scaling.device import Machine
from scanlens.training import run as stage
from scanlens.training.datamodule import ScanBatches
from scanlens.training.run import checkpoint_folder, train
from tests.helpers.tiny import augmentation, model, training, transfer, write_store

CPU = Machine("cpu", False, 1, 4)


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Real scans, a bank, made scans and pretrained weights; checkpoints go to ``tmp_path`` too."""
    monkeypatch.chdir(tmp_path)
    store = write_store(tmp_path / "store")
    write_store(tmp_path / "bank", train=1, other=0, seed=5)
    write_store(tmp_path / "synthetic", train=3, other=0, seed=6)
    save_weights(build(resolve(model(), store.shape, 2), 99), tmp_path / "pretrained" / "model.safetensors")
    return {name: tmp_path / name for name in ("store", "bank", "synthetic", "pretrained")}


def call(folders: dict[str, Path], output: Path, **changes: Any) -> dict[str, Any]:
    chosen = changes.pop("transfer", transfer())
    return train(folders, model(), chosen, training(**changes), augmentation(), CPU, output)


def test_two_runs_write_the_same_bytes(folders: dict[str, Path], tmp_path: Path) -> None:
    call(folders, tmp_path / "one")
    call(folders, tmp_path / "two")
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == ["history.csv", "model.json", "model.safetensors"]
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert list((tmp_path / stage.CHECKPOINTS).iterdir()) == []


def test_the_report_tells_what_was_done(folders: dict[str, Path], tmp_path: Path) -> None:
    facts = call(folders, tmp_path / "out")
    history = pd.read_csv(tmp_path / "out" / "history.csv")
    network, description = load_model(tmp_path / "out")
    assert facts["scans"] == 12
    assert facts["epochs"] == len(history) == 2
    assert facts["best_epoch"] == description["best_epoch"] == history["val_loss"].argmin()
    assert facts["val_loss"] == pytest.approx(history["val_loss"].min())
    assert facts["parameters"] == sum(p.numel() for p in network.parameters())
    assert facts["scans_per_second"] > 0
    assert description["labels"] == ["dark", "bright"]
    assert description["statistics"] == Store.open(folders["store"]).statistics


@pytest.mark.parametrize(
    ("bank", "synthetic", "scans"),
    [(False, False, 12), (True, False, 14), (False, True, 18), (True, True, 20)],
)
def test_bank_and_made_scans_are_learnt_from_where_asked(
    folders: dict[str, Path], tmp_path: Path, bank: bool, synthetic: bool, scans: int
) -> None:
    facts = call(folders, tmp_path / "out", use_bank=bank, use_synthetic=synthetic, epochs=1)
    assert facts["scans"] == scans


def test_only_training_rows_of_the_real_store_are_learnt_from(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, ScanBatches] = {}

    def spy(network: Any, batches: ScanBatches, val: ScanBatches, *_: Any) -> Any:
        seen.update(train=batches, val=val)
        raise ScanlensError("enough")

    monkeypatch.setattr(stage, "fit", spy)
    with pytest.raises(ScanlensError, match="enough"):
        call(folders, tmp_path / "out", use_bank=True, use_synthetic=True)
    store = Store.open(folders["store"])
    real, *made = seen["train"].parts
    assert np.array_equal(real.rows, store.rows("train"))
    assert [part.store.folder for part in made] == [folders["bank"], folders["synthetic"]]
    (val,) = seen["val"].parts
    assert np.array_equal(val.rows, store.rows("val"))
    assert seen["val"].policy is None
    assert seen["train"].policy is not None


def test_augment_false_leaves_scans_as_they_are(folders: dict[str, Path], tmp_path: Path) -> None:
    one = call(folders, tmp_path / "one", epochs=1)
    two = call(folders, tmp_path / "two", epochs=1, augment=False)
    assert one["weights_sha256"] != two["weights_sha256"]


def test_first_weights_come_from_pretraining(folders: dict[str, Path], tmp_path: Path) -> None:
    frozen = transfer(source="pretraining", freeze_backbone=True, backbone_lr_scale=0.0)
    facts = call(folders, tmp_path / "out", transfer=frozen, epochs=1)
    network, _ = load_model(tmp_path / "out")
    donor = build(resolve(model(), (1, 16, 16), 2), 99)
    assert facts["first_weights"] == "pretraining"
    assert facts["tensors_loaded"] == len(donor.state_dict())
    for name, tensor in donor.backbone.state_dict().items():
        assert torch.equal(tensor, network.backbone.state_dict()[name])


def test_a_killed_stage_goes_on_and_ends_the_same(folders: dict[str, Path], tmp_path: Path) -> None:
    def kill(metrics: dict[str, float], epoch: int) -> None:
        if epoch == 1:
            raise KeyboardInterrupt

    arguments = (folders, model(), transfer(), training(epochs=3), augmentation(), CPU)
    whole = train(*arguments, tmp_path / "whole")
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        train(*arguments, tmp_path / "killed", kill)
    assert len(list((tmp_path / stage.CHECKPOINTS).iterdir())) == 1
    resumed = train(*arguments, tmp_path / "killed")
    assert resumed["weights_sha256"] == whole["weights_sha256"]
    for name in ("model.safetensors", "model.json", "history.csv"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes()


def test_another_setting_is_another_checkpoint_folder() -> None:
    base = training()
    folders = {
        checkpoint_folder({"recipe": vars(replace(base, **change))}, "data")
        for change in ({}, {"lr": 0.2}, {"seed": 1}, {"epochs": 9})
    }
    assert len(folders) == 4
    assert checkpoint_folder({"a": 1, "b": 2}) == checkpoint_folder({"b": 2, "a": 1})

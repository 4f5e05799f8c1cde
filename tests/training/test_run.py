"""The stage: which stores it learns from, what it writes, and that two runs agree to the byte."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import grimp
import numpy as np
import pandas as pd
import pytest
import torch

from scanlens.atomic import write_json
from scanlens.augmentation.bank import build_bank
from scanlens.ensemble.join import join, spread_of
from scanlens.errors import ScanlensError, SettingsError
from scanlens.models.classifier import Classifier
from scanlens.models.displacement import measure_displacement
from scanlens.models.held_out import held_out_logits
from scanlens.models.predict import predict, to_input
from scanlens.models.registry import build, resolve_model
from scanlens.models.saved import load_model
from scanlens.models.weights import save_weights
from scanlens.preprocess.store import Store
from scanlens.scaling.device import Machine
from scanlens.training import code
from scanlens.training import run as stage
from scanlens.training.datamodule import ScanBatches
from scanlens.training.run import _CODE, checkpoint_folder, member_scans, train
from tests.helpers.tiny import augmentation, model, training, transfer, write_store

CPU = Machine("cpu", "32", 1, 4)


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Real scans, a bank, made scans and pretrained weights; checkpoints go to ``tmp_path`` too."""
    monkeypatch.chdir(tmp_path)
    store = write_store(tmp_path / "store")
    write_store(tmp_path / "bank", train=1, other=0, seed=5)
    write_store(tmp_path / "synthetic", train=3, other=0, seed=6)
    save_weights(
        build(resolve_model(model(), store.shape, 2), 99), tmp_path / "pretrained" / "model.safetensors"
    )
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


def test_how_far_it_looks_aside_goes_with_the_weights(folders: dict[str, Path], tmp_path: Path) -> None:
    facts = call(folders, tmp_path / "out")
    network, description = load_model(tmp_path / "out")
    assert isinstance(network, Classifier)
    store = Store.open(folders["store"])
    side = torch.tensor(store.shape[1:])
    rows = store.rows("train")
    again = measure_displacement(network, [to_input(store.read(rows), store.statistics, "cpu")])
    assert torch.allclose(network.displacement, again, atol=1e-5)
    assert (network.displacement.abs() * side).max() == pytest.approx(facts["displacement_px"], abs=1e-4)
    assert description["displacement_px"] == facts["displacement_px"] > 0
    train(
        folders,
        model(name="dense", width=1.0),
        transfer(),
        training(),
        augmentation(),
        CPU,
        tmp_path / "dense",
    )
    assert load_model(tmp_path / "dense")[1]["displacement_px"] == 0


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
    frozen = transfer(source="pretraining", mode="head")
    facts = call(folders, tmp_path / "out", transfer=frozen, epochs=1)
    network, _ = load_model(tmp_path / "out")
    donor = build(resolve_model(model(), (1, 16, 16), 2), 99)
    assert facts["first_weights"] == "pretraining"
    assert facts["tensors_loaded"] == len(donor.state_dict()) - 1, "all but the displacement"
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


def folded(folders: dict[str, Path], member: int, **changes: Any) -> tuple[set[str], set[str]]:
    """Scans of the store that a member learns from and validates on, and the parents of its copies."""
    learnt, judged = member_scans(folders, training(folds=2, **changes), member)
    ids = judged.store.index["scan_id"]
    parents = {str(parent) for part in learnt[1:] for parent in part.store.index["parents"].iloc[part.rows]}
    assert parents <= set(ids.iloc[learnt[0].rows])
    return set(ids.iloc[learnt[0].rows]), set(ids.iloc[judged.rows])


def test_members_share_out_all_but_the_test_split(folders: dict[str, Path]) -> None:
    build_bank(Store.open(folders["store"]), augmentation(), folders["bank"])
    index = Store.open(folders["store"]).index
    dealt = set(index.loc[index["split"] != "test", "scan_id"])
    (learnt, judged), (other_learnt, other_judged) = (
        folded(folders, member, use_bank=True) for member in (0, 1)
    )
    assert learnt == other_judged
    assert judged == other_learnt
    assert learnt | judged == dealt
    assert not learnt & judged


def test_copies_of_validation_scans_are_left_out(folders: dict[str, Path]) -> None:
    store = Store.open(folders["store"])
    bank = write_store(folders["bank"], train=4, other=0, seed=5)
    parents = store.index["scan_id"].iloc[store.rows("train")[: len(bank)]].tolist()
    bank.index.assign(parents=parents).to_parquet(folders["bank"] / "index.parquet")
    used = []
    for member in (0, 1):
        learnt, judged = member_scans(folders, training(folds=2, use_bank=True), member)
        copies = [parents[row] for row in learnt[1].rows]
        assert not set(copies) & set(store.index["scan_id"].iloc[judged.rows])
        used += copies
    # With two folds every copy has its parent in the scans of exactly one member.
    assert sorted(used) == sorted(parents)


def test_members_that_are_not_there_are_refused(folders: dict[str, Path]) -> None:
    with pytest.raises(SettingsError, match="no member 2"):
        member_scans(folders, training(folds=2), 2)


def test_members_differ_and_say_whom_they_judged(folders: dict[str, Path], tmp_path: Path) -> None:
    arguments = (folders, model(), transfer(), training(folds=2, epochs=1), augmentation(), CPU)
    facts = [train(*arguments, tmp_path / str(member), member=member) for member in (0, 1)]
    assert facts[0]["weights_sha256"] != facts[1]["weights_sha256"]
    judged = [pd.read_csv(tmp_path / str(member) / "judged.csv") for member in (0, 1)]
    assert [set(table["member"]) for table in judged] == [{0}, {1}]
    assert sum(map(len, judged)) == 16
    for member, one in enumerate(facts):
        write_json(tmp_path / "reports" / f"{member}.json", {"stage": "training", "seconds": 1.0, **one})
    joined = join(tmp_path, tmp_path / "reports", 2, tmp_path / "joined")
    assert joined["val_loss"] == pytest.approx(np.mean([one["val_loss"] for one in facts]))
    assert joined["spread"]["val_loss"]["std"] == pytest.approx(
        np.std([one["val_loss"] for one in facts], ddof=1)
    )
    store = Store.open(folders["store"])
    network, description = load_model(tmp_path / "joined")
    assert description["members"] == 2
    held_out = held_out_logits(network, tmp_path / "joined", store, store.statistics, 4, "cpu")
    assert held_out.index["split"].value_counts().to_dict() == {"val": 16, "test": 4}
    # By hand: each scan by the network that was validated on it, test scans by the mean.
    alone = [load_model(tmp_path / str(member))[0] for member in (0, 1)]
    for row, logits, member in zip(held_out.index.index, held_out.logits, held_out.members, strict=True):
        both = [predict(one, store, np.array([row]), store.statistics, 4, "cpu")[0] for one in alone]
        assert logits == pytest.approx(both[member] if member >= 0 else np.mean(both, axis=0), abs=1e-5)


def test_one_member_is_joined_as_it_is(folders: dict[str, Path], tmp_path: Path) -> None:
    facts = call(folders, tmp_path / "0", epochs=1)
    write_json(tmp_path / "reports" / "0.json", {"stage": "training", **facts})
    assert join(tmp_path, tmp_path / "reports", 1, tmp_path / "joined") == facts
    for name in ("model.safetensors", "model.json", "history.csv"):
        assert (tmp_path / "0" / name).read_bytes() == (tmp_path / "joined" / name).read_bytes()
    with pytest.raises(SettingsError, match="member 1 is not trained"):
        join(tmp_path, tmp_path / "reports", 2, tmp_path / "joined")


def relabel(folder: Path, **changes: str) -> None:
    """Give the validation scans of one class to another split."""
    index = Store.open(folder).index
    for label, split in changes.items():
        index.loc[(index["split"] == "val") & (index["label"] == label), "split"] = split
    index.to_parquet(folder / "index.parquet")


def test_a_validation_split_of_one_class_has_no_auc(folders: dict[str, Path], tmp_path: Path) -> None:
    relabel(folders["store"], dark="test")
    facts = call(folders, tmp_path / "0", epochs=1)
    assert facts["val_auc"] is None
    assert facts["val_loss"] > 0
    # A report is strict JSON, which knows no NaN.
    write_json(tmp_path / "report.json", facts)


def test_members_without_a_metric_are_left_out_of_its_mean() -> None:
    assert spread_of([None, 1.0, 3.0]) == {"mean": 2.0, "std": pytest.approx(2**0.5), "low": 1.0, "high": 3.0}
    assert spread_of([None, 1.0]) == {"mean": 1.0, "std": None, "low": 1.0, "high": 1.0}
    assert spread_of([None, None]) == {"mean": None, "std": None, "low": None, "high": None}


def test_another_setting_is_another_checkpoint_folder() -> None:
    base = training()
    folders = {
        checkpoint_folder({"recipe": vars(replace(base, **change))}, "data")
        for change in ({}, {"lr": 0.2}, {"seed": 1}, {"epochs": 9})
    }
    assert len(folders) == 4
    assert checkpoint_folder({"a": 1, "b": 2}) == checkpoint_folder({"b": 2, "a": 1})


def test_a_fit_of_other_code_is_not_gone_on_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(code.PACKAGE, tmp_path / "package", ignore=shutil.ignore_patterns("__pycache__"))
    before = checkpoint_folder("data")
    monkeypatch.setattr(code, "PACKAGE", tmp_path / "package")
    assert checkpoint_folder("data") == before
    for changed, file in ((False, "cli/parser.py"), (True, "training/losses.py"), (True, "models/heads.py")):
        with (tmp_path / "package" / file).open("a", encoding="utf-8") as source:
            source.write("# corrected\n")
        assert (checkpoint_folder("data") != before) is changed
        before = checkpoint_folder("data")


def test_all_code_that_a_fit_runs_is_in_the_key() -> None:
    graph = grimp.build_graph("scanlens", cache_dir=None)
    used = {"scanlens.training.run", "scanlens.pretraining.learn"}
    used |= {name for start in list(used) for name in graph.find_upstream_modules(start)}
    folders = {name.split(".")[1] for name in used if "." in name}
    # How files appear, what errors say, which rank this is. Settings are in the key as values; what a scan is
    # decides the store, whose digest is in it.
    harmless = {"atomic", "config", "errors", "ranks", "types", "reference", "sources", "manifest", "privacy"}
    assert folders - set(_CODE) <= harmless
    assert {"training", "models", "tasks", "pretraining"} <= set(_CODE)

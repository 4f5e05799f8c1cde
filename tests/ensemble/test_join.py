"""Members joined to one network and one report; what does not fit leaves nothing that looks whole."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from scanlens.atomic import write_json
from scanlens.ensemble.join import join, spread_of
from scanlens.errors import SettingsError
from scanlens.models.saved import save_model
from tests.helpers.networks import small_architecture, small_network

LABELS = ["normal", "left", "right"]


def write_member(folder: Path, number: int, labels: list[str] | None = None, **metrics: Any) -> None:
    """A network of its own weights, as training leaves it, and its report."""
    own = folder / "members" / str(number)
    own.mkdir(parents=True)
    facts = {"best_epoch": number, "first_weights": "none"}
    save_model(
        own,
        small_network(seed=number),
        small_architecture(),
        labels or LABELS,
        {"mean": [0.5], "std": [0.25]},
        facts,
    )
    pd.DataFrame({"epoch": [0, 1], "val_loss": [1.0, 0.5 + number]}).to_csv(own / "history.csv", index=False)
    pd.DataFrame({"scan_id": [f"{number:016d}"], "member": [number]}).to_csv(own / "judged.csv", index=False)
    report = {
        "stage": "training", "seconds": 12.5 * (number + 1), "scans": 30, "epochs": 2 + number,
        "parameters": 1000, "first_weights": "none", "val_loss": 0.5 + number, "val_auc": 0.9, **metrics,
    }  # fmt: skip
    write_json(folder / "reports" / f"{number}.json", report)


def joined(folder: Path, folds: int) -> dict[str, Any]:
    return join(folder / "members", folder / "reports", folds, folder / "out")


def test_several_reports_become_means_and_their_spread(tmp_path: Path) -> None:
    for number, auc in enumerate([0.75, None, 0.5]):
        write_member(tmp_path, number, val_auc=auc)
    facts = joined(tmp_path, 3)
    losses = [0.5, 1.5, 2.5]
    assert facts["val_loss"] == pytest.approx(statistics.fmean(losses))
    assert facts["spread"]["val_loss"] == {
        "mean": pytest.approx(statistics.fmean(losses)),
        "std": pytest.approx(statistics.stdev(losses)),
        "low": 0.5,
        "high": 2.5,
    }
    assert facts["val_auc"] == pytest.approx(0.625), "of the members that have one"
    assert (facts["folds"], facts["epochs"], facts["parameters"], facts["scans"]) == (3, 9, 3000, 30)
    assert [member["val_loss"] for member in facts["members"]] == losses
    assert not {"stage", "seconds"} & {key for member in facts["members"] for key in member}
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts


def test_every_members_weights_epochs_and_judgements_are_in_the_joined_network(tmp_path: Path) -> None:
    for number in range(2):
        write_member(tmp_path, number)
    joined(tmp_path, 2)
    weights = load_file(tmp_path / "out/model.safetensors")
    for number in range(2):
        own = load_file(tmp_path / f"members/{number}/model.safetensors")
        for name, tensor in own.items():
            assert torch.equal(weights.pop(f"members.{number}.{name}"), tensor)
    assert weights == {}
    history = pd.read_csv(tmp_path / "out/history.csv")
    assert history["member"].tolist() == [0, 0, 1, 1]
    assert history["val_loss"].tolist() == [1.0, 0.5, 1.0, 1.5]
    judged = pd.read_csv(tmp_path / "out/judged.csv", dtype={"scan_id": str})
    assert judged.to_dict("list") == {"scan_id": ["0" * 16, "0" * 15 + "1"], "member": [0, 1]}


def test_one_member_is_copied_as_it_is(tmp_path: Path) -> None:
    write_member(tmp_path, 0)
    facts = joined(tmp_path, 1)
    assert facts == {
        "scans": 30, "epochs": 2, "parameters": 1000, "first_weights": "none", "val_loss": 0.5, "val_auc": 0.9
    }  # fmt: skip
    for name in ("model.safetensors", "model.json", "history.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "members/0" / name).read_bytes()


def test_members_beyond_the_wanted_ones_do_not_count(tmp_path: Path) -> None:
    for number in range(3):
        write_member(tmp_path, number)
    assert joined(tmp_path, 2)["val_loss"] == pytest.approx(1.0)


def test_a_member_that_is_not_trained_is_named_and_nothing_written(tmp_path: Path) -> None:
    write_member(tmp_path, 0)
    with pytest.raises(SettingsError, match=r"1\.json: member 1 is not trained.*dvc repro training@1"):
        joined(tmp_path, 2)
    assert not (tmp_path / "out").exists()


def test_a_report_without_its_network_is_refused(tmp_path: Path) -> None:
    for number in range(2):
        write_member(tmp_path, number)
    (tmp_path / "members/1/model.json").unlink()
    with pytest.raises(SettingsError, match="no trained network here"):
        joined(tmp_path, 2)
    assert not (tmp_path / "out").exists()


def test_members_of_other_classes_are_refused(tmp_path: Path) -> None:
    write_member(tmp_path, 0)
    write_member(tmp_path, 1, ["normal", "right", "left"])
    with pytest.raises(SettingsError, match=r"members/1: its labels is not that of the other members"):
        joined(tmp_path, 2)
    assert list((tmp_path / "out").iterdir()) == []


def test_the_spread_is_that_of_the_known_values() -> None:
    assert spread_of([4.0, None, 1.0, 1.0])["std"] == pytest.approx(statistics.stdev([4, 1, 1]))
    assert spread_of([0.0]) == {"mean": 0.0, "std": None, "low": 0.0, "high": 0.0}
    assert set(spread_of([]).values()) == {None}

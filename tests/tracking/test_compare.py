"""Runs read back: newest first, by name or as a sweep's trials, and only what differs."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from scanlens.config.schema import Tracking
from scanlens.errors import ScanlensError
from scanlens.tracking.compare import RunStore, differing, lower_is_better
from scanlens.tracking.runs import open_run
from scanlens.tracking.sweeps import SweepRun
from scanlens.tracking.trial import VARIABLE, Trial


def track(local: Tracking, settings: dict[str, Any], auc: float) -> str:
    with open_run(local, settings, {}) as run:
        run.log_metrics({"test.auc": auc, "a": 1.0})
    time.sleep(0.01)
    return run.run_id


def test_only_differing_settings_are_shown(local: Tracking, settings: dict[str, Any]) -> None:
    track(local, settings, 0.8)
    track(local, {**settings, "seed": 1, "runtime": {"device": "cuda"}, "tracking": {"uri": "x"}}, 0.9)
    newest, oldest = RunStore(local).newest(8)
    assert differing([newest.settings, oldest.settings]) == ["seed"]
    assert (newest.settings["seed"], oldest.settings["seed"]) == ("1", "0")
    assert newest.metrics == {"a": 1.0, "test.auc": 0.9}
    assert newest.status == "FINISHED"
    assert newest.started >= oldest.started
    assert [run.metrics["test.auc"] for run in RunStore(local).newest(1)] == [0.9]


def test_a_setting_that_only_some_runs_have_differs(local: Tracking, settings: dict[str, Any]) -> None:
    track(local, settings, 0.8)
    track(local, {**settings, "new": {"key": 3}}, 0.9)
    assert differing([run.settings for run in RunStore(local).newest(8)]) == ["new.key"]


def test_runs_of_the_same_settings_differ_in_nothing(local: Tracking, settings: dict[str, Any]) -> None:
    track(local, settings, 0.8)
    track(local, settings, 0.8)
    assert differing([run.settings for run in RunStore(local).newest(8)]) == []


def test_runs_are_found_by_name_and_id(local: Tracking, settings: dict[str, Any]) -> None:
    first, second = track(local, settings, 0.8), track(local, settings, 0.9)
    store = RunStore(local)
    assert [run.id for run in store.named([second[:12], first, first])] == [second, first]
    assert [run.id for run in store.named(["cnn-phantom"])] == [second]
    with pytest.raises(ScanlensError, match="No run is named nobody"):
        store.named(["nobody"])


def test_curves_and_predictions_come_back(local: Tracking, settings: dict[str, Any], tmp_path: Path) -> None:
    table = pd.DataFrame({"scan_id": ["a"], "patient": ["p1"], "site": ["St Elsewhere"], "split": ["test"]})
    table.to_parquet(tmp_path / "predictions.parquet")
    with open_run(local, settings, {}) as run:
        for epoch in (1, 0, 2):
            run.log_metrics({"val_loss": 1.0 / (epoch + 1)}, epoch)
        run.log_predictions(tmp_path / "predictions.parquet")
    store = RunStore(local)
    (found,) = store.newest(8)
    assert store.curve(found, "val_loss") == [(0, 1.0), (1, 0.5), (2, pytest.approx(1 / 3))]
    assert store.curve(found, "absent") == []
    logged = store.predictions(found)
    assert logged is not None
    # A hospital's name does not travel to the server.
    assert list(logged.columns) == ["scan_id", "patient", "split"]
    track(local, settings, 0.5)
    assert store.predictions(store.newest(1)[0]) is None


def test_trials_are_children_of_their_sweep(
    local: Tracking, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = SweepRun(local, "lr", "", {"space": {"seed": "0,1"}, "metric": "val_auc"})
    assert parent.run_id
    for number in (0, 1):
        trial = Trial("lr", number, {"seed": str(number)}, parent.run_id, "", 0, "val_loss", "none")
        monkeypatch.setenv(VARIABLE, trial.environment()[VARIABLE])
        track(local, {**settings, "seed": number}, 0.8)
        parent.close_trial(number, "complete" if number else "pruned", {}, None)
    monkeypatch.delenv(VARIABLE)
    # Its stages came from DVC's cache, so that no run of them exists.
    parent.close_trial(2, "failed", {"seed": "2"}, None, "no memory")
    store = RunStore(local)
    metric, runs = store.trials("lr", None)
    assert metric == "val_auc"
    assert [run.name for run in runs] == ["lr-0", "lr-1", "lr-2"]
    assert [run.status for run in runs] == ["pruned", "complete", "failed"]
    assert [run.choices for run in runs] == [{"seed": "0"}, {"seed": "1"}, {"seed": "2"}]
    assert parent.run_id not in [run.id for run in store.newest(8)]
    for name in ("other", "o'ther"):
        with pytest.raises(ScanlensError, match=rf"No sweep {name} is tracked\. Sweeps: lr"):
            store.trials(name, None)


def test_a_trial_has_a_run_of_its_own_even_of_known_weights(
    local: Tracking, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = open_run(local, settings, {}, "w1").run_id
    trial = Trial("lr", 3, {}, "parent", "", 0, "val_loss", "none")
    monkeypatch.setenv(VARIABLE, trial.environment()[VARIABLE])
    own = open_run(local, settings, {}, "w1").run_id
    assert own != before
    assert open_run(local, settings, {}, "w1").run_id == own
    monkeypatch.setenv(VARIABLE, dataclasses.replace(trial, number=4).environment()[VARIABLE])
    assert open_run(local, settings, {}, "w1").run_id not in (own, before)


def test_of_losses_and_errors_the_smallest_is_best() -> None:
    assert all(map(lower_is_better, ("val_loss", "val.ece", "val.mae", "test.brier")))
    assert not any(map(lower_is_better, ("val_auc", "val.auc_macro", "val_accuracy", "")))


def test_nothing_tracked_yet(local: Tracking, settings: dict[str, Any], tmp_path: Any) -> None:
    with pytest.raises(ScanlensError, match=r"mlflow\.db does not exist yet.*dvc repro"):
        RunStore(local)
    assert not (tmp_path / "mlflow.db").exists()
    track(local, settings, 0.8)
    with pytest.raises(ScanlensError, match="no experiment elsewhere"):
        RunStore(dataclasses.replace(local, experiment="elsewhere"))


def test_an_unreachable_server_is_an_error_in_one_line(local: Tracking) -> None:
    with pytest.raises(ScanlensError, match=r"127\.0\.0\.1:9") as caught:
        RunStore(dataclasses.replace(local, uri="http://127.0.0.1:9"))
    assert "\n" not in str(caught.value)


def test_a_store_that_fails_on_the_way_is_an_error_in_one_line(
    local: Tracking, settings: dict[str, Any], tmp_path: Path
) -> None:
    track(local, settings, 0.8)
    store = RunStore(local)
    (found,) = store.newest(1)
    (tmp_path / "mlflow.db").write_bytes(b"no database" * 1000)
    for ask in (
        lambda: store.newest(1),
        lambda: store.curve(found, "a"),
        lambda: store.predictions(found),
        lambda: store.trials("lr", None),
    ):
        with pytest.raises(ScanlensError, match=r"does not answer.*Check tracking\.uri") as caught:
            ask()
        assert "\n" not in str(caught.value)


def test_tracking_switched_off_sweeps_untracked(local: Tracking, tmp_path: Path) -> None:
    parent = SweepRun(dataclasses.replace(local, enabled=False), "lr", "", {})
    parent.close_trial(0, "complete", {}, None)
    assert parent.run_id == ""
    assert not (tmp_path / "mlflow.db").exists()

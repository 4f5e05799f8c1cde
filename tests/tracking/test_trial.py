"""What a stage knows of its sweep, and what it leaves in a real storage of Optuna's."""

from __future__ import annotations

import dataclasses
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from scanlens.tracking.trial import (
    PARENT,
    PRUNED,
    STARTUP,
    VARIABLE,
    Trial,
    TrialStopped,
    current_trial,
    open_storage,
    with_sweep,
)


def nothing(metrics: dict[str, float], epoch: int) -> None:
    """A listener that keeps nothing."""


@pytest.fixture
def study(tmp_path: Path) -> optuna.Study:
    """A study on disk whose trials so far fell from 1 to 0.25."""
    found = optuna.create_study(storage=open_storage(f"sqlite:///{tmp_path}/s.db"), study_name="s")
    for _ in range(STARTUP):
        trial = found.ask()
        for epoch in range(4):
            trial.report(1 / (epoch + 1), epoch)
        found.tell(trial, 0.25)
    return found


@pytest.fixture
def running(study: optuna.Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> optuna.Trial:
    """The trial that this process works for."""
    trial = study.ask()
    known = Trial(
        "s", trial.number, {}, "", f"sqlite:///{tmp_path}/s.db", trial._trial_id, "val_loss", "median"
    )
    monkeypatch.setenv(VARIABLE, known.environment()[VARIABLE])
    return trial


def told(study: optuna.Study) -> dict[int, float]:
    return study.trials[-1].intermediate_values


def test_a_stage_reads_the_trial_that_the_sweep_wrote(monkeypatch: pytest.MonkeyPatch) -> None:
    choices = {"training.lr": "0.003", "model.args": '{"a": "ü"}', "transfer.weights": "a=b c\n"}
    trial = Trial("läufe", 7, choices, "parent", "sqlite:///a b.db", 9, "val_auc", "none")
    (entry,) = trial.environment().items()
    monkeypatch.setenv(*entry)
    assert current_trial() == trial


@pytest.mark.parametrize("value", [None, ""], ids=["unset", "empty"])
def test_without_a_sweep_there_is_no_trial(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(VARIABLE, value)
    assert current_trial() is None
    assert with_sweep(nothing) is nothing


def test_tags_name_the_sweep() -> None:
    trial = Trial("lr", 7, {"seed": "1"}, "", "sqlite:///s.db", 8, "val_loss", "median")
    tags = {"scanlens.study": "lr", "scanlens.trial": "7", "scanlens.choices": json.dumps({"seed": "1"})}
    assert trial.tags() == tags
    assert dataclasses.replace(trial, parent="abc").tags() == {**tags, PARENT: "abc"}


def test_epochs_reach_the_study_after_the_listener_and_poor_ones_stop_the_stage(
    study: optuna.Study, running: optuna.Trial
) -> None:
    logged: list[tuple[int, int]] = []
    hook = with_sweep(lambda metrics, epoch: logged.append((epoch, len(told(study)))))
    hook({"val_loss": np.float32(2.0), "val_auc": 0.5}, 0)
    hook({"val_auc": 0.5}, 1)
    with pytest.raises(TrialStopped, match=r"^the sweep stopped this trial after epoch 3\.$"):
        hook({"val_loss": 2.0}, 2)
    assert told(study) == {0: 2.0, 2: 2.0}
    assert logged == [(0, 0), (1, 1), (2, 1)]
    assert study.trials[-1].user_attrs == {PRUNED: True}


@pytest.mark.parametrize("pruner", ["median", "hyperband", "none"])
def test_a_trial_as_good_as_the_others_goes_on_with_every_pruner(
    study: optuna.Study, running: optuna.Trial, pruner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = current_trial()
    assert known is not None
    changed = dataclasses.replace(known, pruner=pruner)
    monkeypatch.setenv(VARIABLE, changed.environment()[VARIABLE])
    hook = with_sweep(nothing)
    for epoch in range(4):
        hook({"val_loss": 0.5 / (epoch + 1)}, epoch)
    assert len(told(study)) == 4
    if pruner == "none":
        hook({"val_loss": 100.0}, 4)


def test_a_trial_that_was_given_up_stops(study: optuna.Study, running: optuna.Trial) -> None:
    hook = with_sweep(nothing)
    hook({"val_loss": 0.5}, 0)
    study.tell(running.number, state=optuna.trial.TrialState.FAIL)
    with pytest.raises(TrialStopped, match="has given it up"):
        hook({"val_loss": 0.5}, 1)


def test_a_study_that_cannot_be_written_lets_the_training_go_on(
    study: optuna.Study, running: optuna.Trial, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hook = with_sweep(nothing)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (tmp_path / "s.db").write_bytes(b"no database" * 1000)
        hook({"val_loss": 100.0}, 0)
    assert "warning: an epoch was not judged: (sqlite3.DatabaseError)" in capsys.readouterr().err


def test_a_listener_that_fails_tells_nothing(study: optuna.Study, running: Any) -> None:
    def failing(metrics: dict[str, float], epoch: int) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        with_sweep(failing)({"val_loss": 0.5}, 0)
    assert told(study) == {}

"""Whole sweeps over DVC stages, in MLflow, with kill and resume. The stage is small, all else is real."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import optuna
import psutil
import pytest
import yaml
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from scanlens.config.compose import compose_text
from scanlens.errors import ScanlensError, SettingsError
from scanlens.tracking.trial import VARIABLE
from tests.search.conftest import FAST, UNTRACKED, Sweep

GOOD = (0.003, 0.0031, 0.0029, 0.0032)
BAD = 0.0001


def runs_of(project: Path) -> list[Run]:
    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("scanlens")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id]))


def study_of(project: Path, name: str) -> optuna.Study:
    return optuna.load_study(study_name=name, storage=f"sqlite:///{project}/.scanlens/sweeps/{name}.db")


def logs_of(project: Path, name: str) -> list[str]:
    return [path.read_text() for path in sorted((project / ".scanlens/sweeps" / name).glob("trial-*.log"))]


def test_a_sweep_prunes_goes_on_and_ends_as_an_experiment(
    toy: Path, run_sweep: Sweep, capfd: pytest.CaptureFixture[str]
) -> None:
    space = f"training.lr={','.join(map(str, (*GOOD, BAD)))}"
    run_sweep(space, *UNTRACKED, name="rates", sampler="grid", trials=2)
    before = [trial.params for trial in study_of(toy, "rates").trials if trial.params]
    outcome = run_sweep(space, *UNTRACKED, name="rates", sampler="grid")
    assert "2 of 5 trials are there" in capfd.readouterr().err
    study = study_of(toy, "rates")
    assert [trial.params for trial in study.trials][:2] == before
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 4 + ["PRUNED"]
    # It stopped in the middle: the stage itself heard of it.
    assert 1 < len(study.trials[4].intermediate_values) < 4
    assert "the sweep stopped this trial after epoch" in logs_of(toy, "rates")[4]
    assert outcome.best == {"training.lr": "0.003"}
    assert outcome.counts == {"complete": 4, "pruned": 1}

    # The best is an experiment that composes to the trial's settings.
    experiment = toy / "conf/experiment/rates.yaml"
    assert experiment.read_text().startswith("# @package _global_\n# Best of the sweep rates: val_loss ")
    composed = yaml.safe_load(compose_text(toy, ["experiment=rates"]))
    assert composed["training"]["lr"] == 0.003
    assert composed["data"]["root"] == "scans"

    # The project itself is as it was, and the copies are gone.
    assert not (toy / "listed").exists()
    assert not (toy / "params.yaml").exists()
    assert not list((toy / ".scanlens/sweeps/rates").glob("worker-*"))


def test_two_at_a_time_share_the_cache_with_each_other_and_later_sweeps(
    toy: Path, run_sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = "training.lr=1e-3,1e-2"
    # The second trial begins after the first one's first epoch, and must meet it.
    together = toy.parent / "together"
    monkeypatch.setenv("TOY_TOGETHER", str(together))
    run_sweep(space, *UNTRACKED, name="two", sampler="grid", pruner="none", jobs=2)
    assert len(list(together.iterdir())) == 2
    logs = logs_of(toy, "two")
    assert len(logs) == 2
    assert sum("Running stage 'manifest'" in log for log in logs) == 1
    # The same question of another study: nothing runs, and the runs are there all the same.
    run_sweep(space, *FAST, name="again", sampler="grid", pruner="none")
    assert not any("> python" in log for log in logs_of(toy, "again"))
    children = [run for run in runs_of(toy) if run.data.tags.get("scanlens.study") == "again"]
    assert [run.data.tags["scanlens.from_cache"] for run in children] == ["true", "true"]
    assert {run.data.params["training.lr"] for run in children} == {"0.001", "0.01"}


def test_failures_go_on_are_tracked_and_all_failing_is_an_error(
    toy: Path, run_sweep: Sweep, capfd: pytest.CaptureFixture[str]
) -> None:
    outcome = run_sweep("model.dropout=0.1,0.95", *FAST, name="some", sampler="grid", pruner="none")
    assert "failed: training: there is too much dropout." in capfd.readouterr().err
    assert outcome.counts == {"complete": 1, "failed": 1}

    # MLflow: one parent, and a child of it for each trial.
    runs = {run.data.tags.get("scanlens.trial", "parent"): run for run in runs_of(toy)}
    assert set(runs) == {"parent", "0", "1"}
    parent, good, failed = runs["parent"], runs["0"], runs["1"]
    assert (parent.info.run_id, parent.info.status) == (outcome.run, "FINISHED")
    assert parent.data.metrics["best.val_loss"] == outcome.value == good.data.metrics["val_loss"]
    assert "some.yaml" in {path.name for path in (toy / "mlruns").rglob("*")}
    assert {run.data.tags["mlflow.parentRunId"] for run in (good, failed)} == {outcome.run}
    assert (good.info.status, good.data.tags["scanlens.trial_state"]) == ("FINISHED", "complete")
    assert (failed.info.status, failed.data.tags["scanlens.trial_state"]) == ("FAILED", "failed")
    assert "too much dropout" in failed.data.tags["scanlens.reason"]
    assert failed.data.params["model.dropout"] == "0.95"

    with pytest.raises(ScanlensError, match=r"Every trial that was not pruned failed \(1\)"):
        run_sweep("model.dropout=uniform(0.95,0.96)", *UNTRACKED, name="all", trials=1)
    assert not (toy / "conf/experiment/all.yaml").exists()


def test_an_experiment_of_ones_own_is_not_overwritten(run_sweep: Sweep) -> None:
    with pytest.raises(SettingsError, match=r"quick\.yaml exists and is no sweep's"):
        run_sweep("training.lr=log(1e-4,1e-2)", name="quick")


def stages_of(project: Path) -> list[psutil.Process]:
    """Processes of trials below this project."""
    return [
        process
        for process in psutil.process_iter(["cwd", "environ"])
        if VARIABLE in (process.info["environ"] or {})
        and Path(process.info["cwd"] or "/").is_relative_to(project)
    ]


def wait_for_epochs(project: Path, name: str, count: int) -> None:
    """Until so many running trials have told of an epoch."""
    database = project / f".scanlens/sweeps/{name}.db"
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        # A study that is not there yet has no stages either.
        if database.is_file() and len(stages_of(project)) > count:
            told = [trial for trial in study_of(project, name).trials if trial.intermediate_values]
            if len(told) == count:
                return
        time.sleep(0.3)
    raise AssertionError("the trials have not begun")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_sweep_that_is_killed_goes_on(
    toy: Path, run_sweep: Sweep, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    space, options = "training.lr=log(1e-4,1e-2)", ("--name=cut", "--trials=1", "--pruner=none")
    monkeypatch.setenv("TOY_EPOCH_S", "60")
    process = subprocess.Popen(
        ["scanlens", "sweep", space, *UNTRACKED, *options], stderr=subprocess.PIPE, text=True
    )
    monkeypatch.setenv("TOY_EPOCH_S", "0")
    wait_for_epochs(toy, "cut", 1)
    process.send_signal(number)
    _, said = process.communicate(timeout=120)
    if number is signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
        assert stages_of(toy), "DVC and its stage outlive the sweep"
    else:
        assert process.returncode == 130
        assert said.splitlines()[-1] == "scanlens sweep: interrupted"
        assert not stages_of(toy)
    outcome = run_sweep(space, *UNTRACKED, name="cut", trials=1, pruner="none")
    study = study_of(toy, "cut")
    assert [trial.state.name for trial in study.trials] == ["FAIL", "COMPLETE"]
    assert study.trials[1].params == study.trials[0].params
    assert outcome.counts == {"complete": 1, "interrupted": 1}
    assert not stages_of(toy)


def test_ctrl_c_stops_every_running_trial_and_the_next_start_repeats_them(
    toy: Path, run_sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"name": "stopped", "sampler": "grid", "pruner": "none", "jobs": 2}

    def stop() -> None:
        wait_for_epochs(toy, "stopped", 2)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setenv("TOY_EPOCH_S", "60")
    thread = threading.Thread(target=stop)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run_sweep("training.lr=1e-3,3e-3,1e-2", *UNTRACKED, **options)
    thread.join()
    assert not stages_of(toy)
    assert [trial.state.name for trial in study_of(toy, "stopped").trials].count("RUNNING") == 0
    monkeypatch.setenv("TOY_EPOCH_S", "0")
    outcome = run_sweep("training.lr=1e-3,3e-3,1e-2", *UNTRACKED, **options)
    assert outcome.counts == {"complete": 3, "interrupted": 2}
    complete = [trial for trial in study_of(toy, "stopped").trials if trial.state.name == "COMPLETE"]
    assert sorted(trial.params["training.lr"] for trial in complete) == ["0.001", "0.003", "0.01"]

"""Whole sweeps over DVC stages, in MLflow, with kill and resume. The stage is small, all else is real."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from scanlens.config.compose import compose_text
from tests.search.conftest import Sweep, environment

pytestmark = pytest.mark.slow
FAST = ("data=folder", "data.root=scans", "training.epochs=4", "training.gradient_clip=0")
LR = "training.lr=log(1e-4,1e-2)"


def runs_of(project: Path) -> list[Run]:
    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("scanlens")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id]))


def study_of(project: Path, name: str) -> optuna.Study:
    return optuna.load_study(study_name=name, storage=f"sqlite:///{project}/.scanlens/sweeps/{name}.db")


def test_eight_trials_with_pruning_and_resume(project_of_one_stage: Path, scanlens: Sweep) -> None:
    project = project_of_one_stage
    half = scanlens("sweep", LR, *FAST, "--name=rates", "--trials=5", "--seed=1", "--sampler=random")
    assert half.stderr.count("trial ") == 5
    before = [trial.params for trial in study_of(project, "rates").trials]
    result = scanlens(
        "sweep", LR, *FAST, "--name=rates", "--trials=8", "--seed=1", "--sampler=random", "--json"
    )
    assert "5 of 8 trials are there" in result.stderr
    outcome: dict[str, Any] = json.loads(result.stdout)
    study = study_of(project, "rates")
    assert [trial.params for trial in study.trials][:5] == before
    assert len(study.trials) == 8
    states = [trial.state.name for trial in study.trials]
    assert set(states) == {"COMPLETE", "PRUNED"}
    assert outcome["counts"] == {"complete": states.count("COMPLETE"), "pruned": states.count("PRUNED")}
    assert outcome["value"] == study.best_value
    pruned = study.trials[states.index("PRUNED")]
    assert 2 <= len(pruned.intermediate_values) < 4

    # One parent, eight children of it.
    runs = runs_of(project)
    (parent,) = [run for run in runs if run.info.run_id == outcome["run"]]
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert len(children) == len(runs) - 1 == 8
    assert sorted(int(run.data.tags["scanlens.trial"]) for run in children) == list(range(8))
    for run in children:
        trial = study.trials[int(run.data.tags["scanlens.trial"])]
        assert run.data.tags["scanlens.trial_state"] == trial.state.name.lower()
        assert float(run.data.params["training.lr"]) == trial.params["training.lr"]
        assert run.data.metrics["val_loss"] == pytest.approx(list(trial.intermediate_values.values())[-1])
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["best.val_loss"] == study.best_value
    artefacts = {path.name for path in (project / "mlruns").rglob("*") if path.is_file()}
    assert {"history.png", "parallel_coordinates.png", "trials.csv", "best.json", "rates.yaml"} <= artefacts

    # The best is an experiment that composes to the trial's settings.
    experiment = project / "conf/experiment/rates.yaml"
    assert experiment.read_text().startswith("# @package _global_\n# Best of the sweep rates: val_loss ")
    composed = yaml.safe_load(compose_text(project, ["experiment=rates"]))
    assert composed["training"]["lr"] == study.best_params["training.lr"]
    assert composed["data"]["root"] == "scans"

    # The project itself is as it was, and the copies are gone.
    assert not (project / "listed").exists()
    assert not (project / "params.yaml").exists()
    assert not list((project / ".scanlens/sweeps/rates").glob("worker-*"))
    assert len(list((project / ".scanlens/sweeps/rates").glob("trial-*.log"))) == 8


def test_stages_that_do_not_change_come_from_the_cache(project_of_one_stage: Path, scanlens: Sweep) -> None:
    scanlens(
        "sweep", "training.lr=1e-3,1e-2", *FAST, "--name=two", "--sampler=grid", "--jobs=2", "--pruner=none"
    )
    logs = [path.read_text() for path in (project_of_one_stage / ".scanlens/sweeps/two").glob("*.log")]
    assert len(logs) == 2
    assert sum("Running stage 'manifest'" in log for log in logs) == 1
    # The same question of another study: nothing runs, and the runs are there all the same.
    scanlens("sweep", "training.lr=1e-3,1e-2", *FAST, "--name=again", "--sampler=grid", "--pruner=none")
    logs = [path.read_text() for path in (project_of_one_stage / ".scanlens/sweeps/again").glob("*.log")]
    assert not any("> python" in log for log in logs)
    children = [r for r in runs_of(project_of_one_stage) if r.data.tags.get("scanlens.study") == "again"]
    assert [run.data.tags["scanlens.from_cache"] for run in children] == ["true", "true"]
    assert {run.data.params["training.lr"] for run in children} == {"0.001", "0.01"}


def test_failures_go_on_and_all_failing_is_an_error(project_of_one_stage: Path, scanlens: Sweep) -> None:
    words = (*FAST, "--sampler=grid", "--pruner=none")
    result = scanlens("sweep", "model.dropout=0.1,0.95", *words, "--name=some")
    assert "failed: training: there is too much dropout." in result.stderr
    assert "1 complete, 1 failed" in result.stdout
    failed = [r for r in runs_of(project_of_one_stage) if r.data.tags.get("scanlens.trial_state") == "failed"]
    assert [run.info.status for run in failed] == ["FAILED"]
    assert "too much dropout" in failed[0].data.tags["scanlens.reason"]
    result = scanlens("sweep", "model.dropout=0.95,0.96", *words, "--name=all", expect=1)
    assert result.stderr.splitlines()[-1].startswith(
        "scanlens sweep: Every trial that was not pruned failed (2)"
    )
    assert not (project_of_one_stage / "conf/experiment/all.yaml").exists()


def test_an_experiment_of_ones_own_is_not_overwritten(scanlens: Sweep) -> None:
    result = scanlens("sweep", LR, "--name=quick", expect=1)
    assert "quick.yaml exists and is no sweep's" in result.stderr


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_sweep_that_is_stopped_goes_on(
    project_of_one_stage: Path, scanlens: Sweep, project: Path, number: signal.Signals
) -> None:
    # Epochs of 1 s, so that the signal meets a trial half-way.
    slow = [word for word in FAST if "gradient_clip" not in word] + ["training.gradient_clip=10"]
    words = ["scanlens", "sweep", LR, *slow, "--name=cut", "--trials=1", "--pruner=none"]
    process = subprocess.Popen(
        words, cwd=project_of_one_stage, env=environment(project), stderr=subprocess.PIPE, text=True
    )
    pid_file = project_of_one_stage / ".scanlens/sweeps/cut/worker-0/trial.pid"
    database = project_of_one_stage / ".scanlens/sweeps/cut.db"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if (
            pid_file.is_file()
            and database.is_file()
            and study_of(project_of_one_stage, "cut").trials[-1].intermediate_values
        ):
            break
        time.sleep(0.2)
    group = int(pid_file.read_text())
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    if number is signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
    else:
        assert process.returncode == 130
        assert said.splitlines()[-1] == "scanlens sweep: interrupted"
        with pytest.raises(ProcessLookupError):
            os.killpg(group, 0)
    result = scanlens(*words[1:])
    study = study_of(project_of_one_stage, "cut")
    assert [trial.state.name for trial in study.trials] == ["FAIL", "COMPLETE"]
    assert study.trials[1].params == study.trials[0].params
    assert "best val_loss" in result.stdout
    with pytest.raises(ProcessLookupError):
        os.killpg(group, 0)
    tags = [run.data.tags.get("scanlens.trial_state") for run in runs_of(project_of_one_stage)]
    assert sorted(filter(None, tags)) == ["complete", "interrupted"]

"""The loop over trials with real Optuna studies and a callable in the pipeline's place."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from pathlib import Path

import optuna
import pytest

from scanlens.errors import ScanlensError
from scanlens.search import loop
from scanlens.search.loop import Attempt, Interrupted
from scanlens.search.space import read_dimension
from scanlens.search.study import INTERRUPTED, REASON, RETRY_OF, best_trial, finished, open_study
from tests.search.bowl import bowl, plan, run, states


def test_eight_trials_with_pruning_then_resumed_to_twelve(tmp_path: Path) -> None:
    study = run(tmp_path, plan())
    assert len(study.trials) == 8
    assert set(states(study)) == {"COMPLETE", "PRUNED"}
    pruned = [trial for trial in study.trials if trial.state.name == "PRUNED"]
    assert all(len(trial.intermediate_values) < 6 for trial in pruned)
    assert best_trial(study).params["kind"] == "good"
    first = [trial.params for trial in study.trials]
    again = run(tmp_path, plan(trials=12))
    assert [trial.params for trial in again.trials][:8] == first
    assert len(again.trials) == 12
    # Nothing is left to do.
    assert len(run(tmp_path, plan(trials=12)).trials) == 12


def test_a_grid_runs_each_combination_once_also_when_resumed(tmp_path: Path) -> None:
    space = (read_dimension("x", "uniform(-1,1,0.5)"), read_dimension("kind", "good,bad"))
    rule = {"x": ("-1.0", "-0.5"), "kind": ("bad",)}
    wanted = plan(sampler="grid", pruner="none", space=space, exclude=(rule,), trials=None)
    half = run(tmp_path, plan(sampler="grid", pruner="none", space=space, exclude=(rule,), trials=3))
    assert len(finished(half)) == 3
    study = run(tmp_path, wanted)
    combinations = [(t.params["x"], t.params["kind"]) for t in finished(study)]
    assert len(combinations) == len(set(combinations)) == 8
    assert not {(-1.0, "bad"), (-0.5, "bad")} & set(combinations)


def test_parallel_trials_overlap_and_none_is_lost(tmp_path: Path) -> None:
    together = threading.Barrier(3, timeout=30)

    def objective(attempt: Attempt) -> float:
        workers.append(attempt.worker)
        together.wait()
        return float(attempt.choices["x"])

    workers: list[int] = []
    study = run(tmp_path, plan(trials=6, jobs=3, pruner="none"), objective)
    assert states(study) == ["COMPLETE"] * 6
    assert set(workers) == {0, 1, 2}


def test_failing_trials_are_recorded_and_the_others_go_on(tmp_path: Path) -> None:
    def objective(attempt: Attempt) -> float:
        if attempt.number == 1:
            raise ScanlensError("training: no memory.")
        if attempt.number == 2:
            raise ZeroDivisionError("oops")
        return float("nan") if attempt.number == 3 else float(attempt.choices["x"])

    study = run(tmp_path, plan(), objective)
    assert states(study) == ["COMPLETE", "FAIL", "FAIL", "FAIL", *["COMPLETE"] * 4]
    reasons = [study.trials[i].user_attrs[REASON] for i in (1, 2, 3)]
    assert reasons == ["training: no memory.", "ZeroDivisionError: oops", "val_loss is nan"]
    assert len(finished(study)) == 8


def killed_in_third(folder: Path) -> None:
    def objective(attempt: Attempt) -> float:
        if attempt.number == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return bowl(attempt)

    run(folder, plan(), objective)


def test_what_a_killed_sweep_left_half_finished_is_tried_again(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=killed_in_third, args=(tmp_path,))
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    left = open_study(tmp_path, plan(), "base")
    assert states(left) == ["COMPLETE", "COMPLETE", "RUNNING"]
    study = run(tmp_path, plan())
    assert len(finished(study)) == 8
    assert study.trials[2].user_attrs[INTERRUPTED]
    assert study.trials[3].params == study.trials[2].params
    assert study.trials[3].user_attrs[RETRY_OF] == 2
    # And only once.
    assert len(run(tmp_path, plan()).trials) == 9


def test_an_interrupt_stops_the_running_trials_and_the_next_start_repeats_them(tmp_path: Path) -> None:
    def objective(attempt: Attempt) -> float:
        if attempt.number < 2:
            return float(attempt.choices["x"])
        if attempt.number == 2:
            os.kill(os.getpid(), signal.SIGINT)
        assert attempt.stopping.wait(30)
        raise Interrupted

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, plan(jobs=2, pruner="none"), objective)
    left = open_study(tmp_path, plan(), "base")
    assert "RUNNING" not in states(left)
    assert len(finished(left)) == 2
    study = run(tmp_path, plan(pruner="none"))
    # The fourth may have been stopped before it chose.
    interrupted = [t.params for t in study.trials if t.user_attrs.get(INTERRUPTED) and t.params]
    retried = [t.params for t in study.trials if RETRY_OF in t.user_attrs]
    assert interrupted == retried
    assert len(finished(study)) == 8


def test_a_stop_before_a_worker_has_the_trial_leaves_none_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = (read_dimension("kind", "good,bad"),)
    wanted = plan(space=(*grid, read_dimension("x", "int(0,1)")), sampler="grid", pruner="none")

    def stopped(study: optuna.Study, free: set[int]) -> None:
        study.ask()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop, "_begin", stopped)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, wanted)
    left = open_study(tmp_path, wanted, "base")
    assert states(left) == ["FAIL", "WAITING", "WAITING", "WAITING"]
    assert left.trials[0].user_attrs[INTERRUPTED]
    assert not left.trials[0].params
    study = run(tmp_path, wanted)
    (again,) = [trial for trial in study.trials if trial.user_attrs.get(RETRY_OF) == 0]
    assert again.params == left.trials[0].system_attrs["fixed_params"]
    assert len(finished(study)) == 4

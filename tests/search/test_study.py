"""Studies as they are opened, held, taken up again and read; samplers and pruners are Optuna's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from scanlens.errors import ScanlensError, SettingsError
from scanlens.search.plan import SweepPlan
from scanlens.search.space import read_dimension
from scanlens.search.study import (
    FOLDER,
    REASON,
    best_trial,
    counts,
    exclusive,
    finished,
    importances,
    open_study,
    requeue,
    take_up,
)

SPACE = (read_dimension("x", "uniform(-1,1)"), read_dimension("kind", "good,bad"))
GRID = (read_dimension("kind", "good,bad"), read_dimension("x", "range(0,2)"))


def plan(**changes: Any) -> SweepPlan:
    return SweepPlan("bowl", changes.pop("space", SPACE), changes.pop("fixed", {}), **changes)


def grid_plan(**changes: Any) -> SweepPlan:
    return plan(space=GRID, sampler="grid", **changes)


def bowl(trial: optuna.Trial) -> float:
    """A value that falls over six epochs; bad ones stay high."""
    choices = {dimension.key: dimension.suggest(trial) for dimension in SPACE}
    floor = float(choices["x"]) ** 2 + 2.0 * (choices["kind"] == "bad")
    for epoch in range(6):
        trial.report(floor + 1.0 / (epoch + 1), epoch)
        if trial.should_prune():
            raise optuna.TrialPruned
    return floor


def on_grid(trial: optuna.Trial) -> float:
    for dimension in GRID:
        dimension.suggest(trial)
    return 0.0


def start(folder: Path, wanted: SweepPlan) -> optuna.Study:
    study = open_study(folder, wanted, "base")
    take_up(study, wanted)
    return study


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_seed_proposes_the_same_and_a_later_start_others(tmp_path: Path, sampler: str) -> None:
    found = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        study = start(tmp_path / name, plan(seed=seed, sampler=sampler))
        study.optimize(bowl, n_trials=3)
        start(tmp_path / name, plan(seed=seed, sampler=sampler)).optimize(bowl, n_trials=3)
        found.append([trial.params["x"] for trial in study.trials])
    assert found[0] == found[1] != found[2]
    assert len(set(found[0])) == 6


@pytest.mark.parametrize("pruner", ["median", "hyperband", "none"])
def test_every_pruner_leaves_good_trials_alone(tmp_path: Path, pruner: str) -> None:
    study = start(tmp_path, plan(pruner=pruner, sampler="random"))
    study.optimize(bowl, n_trials=12)
    assert len(finished(study)) == 12
    assert ("pruned" in counts(study)) == (pruner != "none")
    assert best_trial(study).params["kind"] == "good"


def test_a_study_is_continued_only_under_the_same_question(tmp_path: Path) -> None:
    open_study(tmp_path, plan(), "base")
    open_study(tmp_path, plan(trials=99, jobs=2, sampler="random", pruner="none", seed=3), "base")
    open_study(tmp_path, plan(fixed={"runtime.threads": "1"}), "base")
    other = (read_dimension("x", "uniform(-1.0000001,1)"), SPACE[1])
    for changed, base, named in (
        (plan(space=other), "base", "another space"),
        (plan(metric="val_nll"), "base", "another metric"),
        (plan(fixed={"seed": "1"}), "base", "another fixed"),
        (plan(), "edited", "another conf/"),
    ):
        with pytest.raises(SettingsError, match=named):
            open_study(tmp_path, changed, base)


def test_two_sweeps_of_one_name_do_not_run_at_once(tmp_path: Path) -> None:
    with exclusive(tmp_path, "bowl"):
        with pytest.raises(ScanlensError, match="running already"), exclusive(tmp_path, "bowl"):
            pass
        with exclusive(tmp_path, "other"):
            pass
    with exclusive(tmp_path, "bowl"):
        assert (tmp_path / FOLDER).is_dir()


def test_what_was_left_half_finished_is_tried_again_once(tmp_path: Path) -> None:
    study = start(tmp_path, plan())
    study.optimize(bowl, n_trials=2)
    # A killed sweep leaves its trial running.
    chosen = SPACE[0].suggest(study.ask())
    for left in (1, 0):
        assert len(take_up(study, plan())) == left
    states = [trial.state.name for trial in study.trials]
    assert states == ["COMPLETE", "COMPLETE", "FAIL", "WAITING"]
    assert len(finished(study)) == 2
    study.optimize(bowl, n_trials=1)
    assert repr(study.trials[3].params["x"]) == chosen
    assert counts(study) == {"complete": 3, "interrupted": 1}
    # A stop between the queuing and the end of the first one queues no second.
    trial = study.ask()
    requeue(study, study.trials[trial.number])
    assert len(take_up(study, plan())) == 1
    assert [trial.state.name for trial in study.trials][4:] == ["FAIL", "WAITING"]


def test_a_grid_has_each_combination_once_whatever_was_stopped(tmp_path: Path) -> None:
    study = start(tmp_path, grid_plan())
    study.optimize(on_grid, n_trials=1)
    # One is stopped before it has chosen, one after.
    study.ask()
    on_grid(study.ask())
    study = start(tmp_path, grid_plan())
    study.optimize(on_grid, n_trials=grid_plan().wanted() - len(finished(study)))
    assert sorted(tuple(trial.params.values()) for trial in finished(study)) == [
        ("bad", "0"), ("bad", "1"), ("good", "0"), ("good", "1"),
    ]  # fmt: skip
    assert not study.get_trials(states=(TrialState.WAITING, TrialState.RUNNING))
    assert counts(study) == {"complete": 4, "interrupted": 2}


def test_a_sweep_that_only_fails_is_a_clear_error(tmp_path: Path) -> None:
    def objective(trial: optuna.Trial) -> float:
        trial.set_user_attr(REASON, "training: the loss is not finite.")
        raise ScanlensError("training: the loss is not finite.")

    study = start(tmp_path, plan())
    study.optimize(objective, n_trials=3, catch=(Exception,))
    with pytest.raises(ScanlensError, match=r"failed \(3\), the last one: training: the loss is not finite"):
        best_trial(study)


def test_importance_finds_what_matters(tmp_path: Path) -> None:
    def objective(trial: optuna.Trial) -> float:
        x, kind = (dimension.suggest(trial) for dimension in SPACE)
        return 10.0 * (kind == "bad") + 0.1 * float(x)

    study = start(tmp_path, plan(sampler="random", pruner="none"))
    study.optimize(objective, n_trials=2)
    assert importances(study) == {}
    study.optimize(objective, n_trials=14)
    shares = importances(study)
    assert shares["kind"] > 0.9
    assert sum(shares.values()) == pytest.approx(1.0)

"""Studies as they are opened, held and read; samplers and pruners are Optuna's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from scanlens.errors import ScanlensError, SettingsError
from scanlens.search.loop import Attempt
from scanlens.search.plan import Plan
from scanlens.search.space import read_dimension
from scanlens.search.study import FOLDER, best_trial, exclusive, finished, importances, open_study
from tests.search.bowl import SPACE, plan, run, states


def test_the_same_seed_proposes_the_same_and_another_seed_others(tmp_path: Path) -> None:
    found = [
        [t.params["x"] for t in run(tmp_path / str(i), plan(seed=seed, trials=5)).trials]
        for i, seed in enumerate((0, 0, 1))
    ]
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize("sampler", ["tpe", "random"])
@pytest.mark.parametrize("pruner", ["median", "hyperband", "none"])
def test_every_sampler_and_pruner(tmp_path: Path, sampler: str, pruner: str) -> None:
    study = run(tmp_path, plan(sampler=sampler, pruner=pruner))
    assert len(finished(study)) == 8
    if pruner == "none":
        assert set(states(study)) == {"COMPLETE"}


def test_a_sweep_that_only_fails_is_a_clear_error(tmp_path: Path) -> None:
    def objective(attempt: Attempt) -> float:
        raise ScanlensError("training: the loss is not finite.")

    study = run(tmp_path, plan(trials=3), objective)
    with pytest.raises(ScanlensError, match=r"failed \(3\), the last one: training: the loss is not finite"):
        best_trial(study)


def test_a_study_is_continued_only_under_the_same_question(tmp_path: Path) -> None:
    open_study(tmp_path, plan(), "base")
    open_study(tmp_path, plan(trials=99, jobs=2, sampler="random", pruner="none", seed=3), "base")
    elsewhere = Plan("bowl", SPACE, {"runtime.threads": "1"}, direction="minimize")
    open_study(tmp_path, elsewhere, "base")
    other = (read_dimension("x", "uniform(-1.0000001,1)"), SPACE[1])
    with pytest.raises(SettingsError, match="another space"):
        open_study(tmp_path, plan(space=other), "base")
    with pytest.raises(SettingsError, match="another metric"):
        open_study(tmp_path, plan(metric="val_nll"), "base")
    with pytest.raises(SettingsError, match="conf/ has changed"):
        open_study(tmp_path, plan(), "edited")


def test_two_sweeps_of_one_name_do_not_run_at_once(tmp_path: Path) -> None:
    with exclusive(tmp_path, "bowl"):
        with pytest.raises(ScanlensError, match="running already"), exclusive(tmp_path, "bowl"):
            pass
        with exclusive(tmp_path, "other"):
            pass
    with exclusive(tmp_path, "bowl"):
        assert (tmp_path / FOLDER).is_dir()


def test_importance_finds_what_matters(tmp_path: Path) -> None:
    def objective(attempt: Attempt) -> float:
        return 10.0 * (attempt.choices["kind"] == "bad") + 0.1 * float(attempt.choices["x"])

    study = run(tmp_path, plan(trials=16, sampler="random", pruner="none"), objective)
    shares = importances(study)
    assert shares["kind"] > 0.9
    assert sum(shares.values()) == pytest.approx(1.0)
    assert importances(run(tmp_path / "few", plan(trials=2), objective)) == {}

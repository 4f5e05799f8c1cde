"""A study of a bowl-shaped value in the pipeline's place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna

from scanlens.search.loop import Attempt, run_study
from scanlens.search.plan import Plan
from scanlens.search.space import read_dimension
from scanlens.search.study import open_study, take_up

SPACE = (read_dimension("x", "uniform(-1,1)"), read_dimension("kind", "good,bad"))


def plan(**changes: Any) -> Plan:
    settings = {"trials": 8, "direction": "minimize", **changes}
    return Plan("bowl", settings.pop("space", SPACE), {}, **settings)


def bowl(attempt: Attempt) -> float:
    """A value that falls over six epochs; bad ones stay high."""
    x = float(attempt.choices["x"])
    floor = x * x + (2.0 if attempt.choices["kind"] == "bad" else 0.0)
    for epoch in range(6):
        if not attempt.report(floor + 1.0 / (epoch + 1), epoch):
            raise optuna.TrialPruned
    return floor


def run(tmp_path: Path, wanted: Plan, objective: Any = bowl) -> optuna.Study:
    study = open_study(tmp_path, wanted, "base")
    take_up(study)
    run_study(study, wanted, objective, lambda trial: None)
    return study


def states(study: optuna.Study) -> list[str]:
    return [trial.state.name for trial in study.trials]

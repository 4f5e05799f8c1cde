"""A study's trials as people and tables tell of them."""

from __future__ import annotations

import optuna
import pandas as pd
from optuna.trial import FrozenTrial, TrialState

from scanlens.search.plan import STAGES, Plan
from scanlens.search.study import INTERRUPTED, REASON, as_text, finished

SHARED_REASONS = ("synthesis", "augmentation", "pretraining", *STAGES)
"""Stages whose messages leave the project: they know scans by hash alone."""


def shared_reason(trial: FrozenTrial) -> str:
    """Why a trial failed, as MLflow may know it: early stages name files, and so maybe patients."""
    reason = str(trial.user_attrs.get(REASON, ""))
    if not reason or reason.split(":")[0] in SHARED_REASONS:
        return reason
    return f"see trial-{trial.number:04d}.log in the project"


def trials_table(study: optuna.Study) -> pd.DataFrame:
    """One row a trial: number, state, value, its choices, epochs it ran, and why it failed."""
    rows = [
        {
            "trial": trial.number,
            "state": state_of(trial),
            "value": trial.value,
            **as_text(trial.params),
            "epochs": len(trial.intermediate_values) or None,
            "reason": shared_reason(trial),
        }
        for trial in study.trials
    ]
    return pd.DataFrame(rows)


def state_of(trial: FrozenTrial) -> str:
    """complete, pruned, failed, interrupted, running or waiting."""
    if trial.user_attrs.get(INTERRUPTED):
        return "interrupted"
    return "failed" if trial.state is TrialState.FAIL else trial.state.name.lower()


def trial_line(study: optuna.Study, plan: Plan, trial: FrozenTrial, wanted: int) -> str:
    """What a person is told when a trial has ended.

    Args:
        study: As it is now.
        plan: Names the metric.
        trial: The one that ended.
        wanted: Trials that the study is to have in all.
    """
    state = state_of(trial)
    result = {
        "complete": f"{plan.metric} {trial.value:.4f}" if trial.value is not None else "",
        "pruned": f"pruned after {len(trial.intermediate_values)} epochs",
        "failed": f"failed: {trial.user_attrs.get(REASON, '')}",
    }.get(state, state)
    seconds = trial.duration.total_seconds() if trial.duration else 0.0
    choices = "  ".join(f"{key}={value}" for key, value in as_text(trial.params).items())
    line = f"[{len(finished(study))}/{wanted}] trial {trial.number}  {choices}  {result}  ({seconds:.0f} s)"
    if state == "complete" and study.best_trial.number == trial.number:
        line += "  best so far"
    return line

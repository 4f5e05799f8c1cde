"""What is told of trials: states, lines, and reasons that name no patient."""

from __future__ import annotations

import math
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from scanlens.search.plan import Plan
from scanlens.search.study import INTERRUPTED, REASON
from scanlens.search.trials import shared_reason, state_of, trial_line, trials_table

RATES = optuna.distributions.FloatDistribution(0, 1)


def ended(state: TrialState, value: float | None = None, epochs: int = 0, **attributes: Any) -> FrozenTrial:
    return create_trial(
        state=state,
        value=value,
        params={"lr": 0.25},
        distributions={"lr": RATES},
        intermediate_values=dict.fromkeys(range(epochs), 1.0),
        user_attrs=attributes,
    )


TRIALS = {
    "complete": ended(TrialState.COMPLETE, 0.5, epochs=3),
    "pruned": ended(TrialState.PRUNED, epochs=2),
    "failed": ended(TrialState.FAIL, **{REASON: "training: no memory."}),
    "interrupted": ended(TrialState.FAIL, **{INTERRUPTED: True}),
    "waiting": ended(TrialState.WAITING),
}


def test_each_state_has_a_word_a_row_and_a_line() -> None:
    study = optuna.create_study()
    study.add_trials(list(TRIALS.values()))
    table = trials_table(study)
    assert table["state"].tolist() == [state_of(trial) for trial in study.trials] == list(TRIALS)
    assert table["lr"].tolist() == ["0.25"] * len(TRIALS)
    assert [None if math.isnan(count) else count for count in table["epochs"]] == [3, 2, None, None, None]
    plan = Plan("rates", (), {}, metric="val_loss")
    lines = [trial_line(study, plan, trial, 9) for trial in study.trials]
    assert lines[0].startswith("[3/9] trial 0  lr=0.25  val_loss 0.5000  (")
    assert lines[0].endswith("best so far")
    assert "pruned after 2 epochs" in lines[1]
    assert "failed: training: no memory." in lines[2]
    assert "interrupted" in lines[3]
    assert not any("best" in line for line in lines[1:])


def test_the_best_so_far_is_one_trial_alone() -> None:
    study = optuna.create_study()
    study.add_trials([ended(TrialState.COMPLETE, value) for value in (0.5, 0.25, 0.75)])
    plan = Plan("rates", (), {}, metric="val_loss")
    best = [trial_line(study, plan, trial, 3).endswith("best so far") for trial in study.trials]
    assert best == [False, True, False]


@pytest.mark.parametrize(
    ("reason", "shared"),
    [
        ("training: the loss is not finite. Lower it.", "training: the loss is not finite. Lower it."),
        ("", ""),
        ("manifest: SMITH_JOHN/1.dcm: no pixels", "see trial-0003.log in the project"),
        ("FileNotFoundError: /scans/SMITH_JOHN", "see trial-0003.log in the project"),
    ],
)
def test_messages_that_may_name_patients_stay_in_the_project(reason: str, shared: str) -> None:
    study = optuna.create_study()
    for _ in range(4):
        trial = study.ask()
        trial.set_user_attr(REASON, reason)
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
    assert shared_reason(study.trials[3]) == shared
    assert trials_table(study)["reason"].tolist()[3] == shared

"""The study on disk: opened or made, held by one process, what it lacks, and what it has come to.

Optuna: Akiba et al., KDD 2019.
"""

from __future__ import annotations

import fcntl
import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from scanlens.errors import ScanlensError, SettingsError
from scanlens.search.plan import SweepPlan
from scanlens.search.space import grid, spelled
from scanlens.tracking.trial import STARTUP, open_storage, pruner

FOLDER = Path(".scanlens/sweeps")
PLAN, PARENT = "plan", "mlflow_run"
"""What a study remembers of itself."""
REASON = "reason"
"""Why a trial failed, as the trial remembers it."""
RETRIES = "retry_history"
"""Where Optuna's own retry keeps the numbers of the trials that were interrupted before this one."""


@contextmanager
def exclusive(project: Path, name: str) -> Iterator[None]:
    """Hold the study for this process: no two sweeps may continue it at a time.

    Raises:
        ScanlensError: Another process does.
    """
    path = project / FOLDER / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ScanlensError(f"The sweep {name} is running already.", "Give this one --name.") from error
        yield


def address(project: Path, name: str) -> str:
    """Of the storage that holds the study: ``.scanlens/sweeps/<name>.db``."""
    return f"sqlite:///{(project / FOLDER / f'{name}.db').resolve()}"


def open_study(project: Path, plan: SweepPlan, base: str) -> optuna.Study:
    """The study of this plan, new or as an earlier sweep left it.

    Args:
        project: Holds the study's file.
        plan: The sweep.
        base: Hash of the settings under all trials.

    Raises:
        SettingsError: A study of this name asks for something else.
    """
    (project / FOLDER).mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        storage=open_storage(address(project, plan.name)),
        study_name=plan.name,
        direction=plan.direction or None,
        pruner=pruner(plan.pruner),
        load_if_exists=True,
    )
    # Each start goes on with other random numbers: the same ones would propose the same trials again.
    seed = plan.seed + len(study.trials)
    study.sampler = (
        optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP, constant_liar=plan.jobs > 1)
        if plan.sampler == "tpe"
        else optuna.samplers.RandomSampler(seed=seed)
    )
    question = json.loads(json.dumps({"conf/": base, **plan.identity()}))
    known = study.user_attrs.get(PLAN, question)
    for what, wanted in question.items():
        if known.get(what) != wanted:
            raise SettingsError(
                f"The study {plan.name} was begun with another {what}.",
                f"Give this one another --name, or delete {FOLDER / plan.name}.db to begin anew.",
            )
    study.set_user_attr(PLAN, question)
    return study


def take_up(study: optuna.Study, plan: SweepPlan) -> list[FrozenTrial]:
    """Queue what a killed sweep left half-finished, and what a grid lacks; returns the former.

    Only call it inside :func:`exclusive`: nobody else runs trials of this study.
    """
    left = study.get_trials(states=(TrialState.RUNNING,))
    for trial in left:
        requeue(study, trial)
        study.tell(trial.number, state=TrialState.FAIL)
    if plan.sampler == "grid":
        again = interrupted(study)
        others = [trial for trial in study.trials if trial.number not in again]
        queued = [trial.params or trial.system_attrs.get("fixed_params") for trial in others]
        for combination in grid(plan.space, plan.exclude, plan.fixed):
            if combination not in queued:
                study.enqueue_trial(combination)
    return left


def requeue(study: optuna.Study, trial: FrozenTrial) -> None:
    """Have a trial that was interrupted run again with the same choices; once, however often it is asked."""
    if trial.number in interrupted(study):
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        optuna.storages.RetryHeartbeatStaleTrialCallback()(study, trial)


def interrupted(study: optuna.Study) -> set[int]:
    """Numbers of the trials that others run again."""
    return {number for trial in study.trials for number in trial.system_attrs.get(RETRIES, [])}


def finished(study: optuna.Study) -> list[FrozenTrial]:
    """Trials that count: complete, pruned, and failed by themselves."""
    left_out = interrupted(study)
    ended = study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL))
    return [trial for trial in ended if trial.number not in left_out]


def counts(study: optuna.Study) -> dict[str, int]:
    """How many trials are complete, pruned, failed, interrupted."""
    states = [trial.state.name.lower().replace("fail", "failed") for trial in finished(study)]
    states += ["interrupted"] * len(interrupted(study))
    return {state: states.count(state) for state in sorted(set(states))}


def best_trial(study: optuna.Study) -> FrozenTrial:
    """The best complete trial.

    Raises:
        ScanlensError: There is none; says why.
    """
    if study.get_trials(states=(TrialState.COMPLETE,)):
        return study.best_trial
    failed = [trial for trial in finished(study) if trial.state is TrialState.FAIL]
    reason = failed[-1].user_attrs.get(REASON, "unknown") if failed else "every one was pruned"
    raise ScanlensError(
        f"Every trial that was not pruned failed ({len(failed)}), the last one: {reason}",
        f"Logs: {FOLDER / study.study_name}",
    )


def importances(study: optuna.Study) -> dict[str, float]:
    """How much of the values' variance each key explains, by fANOVA; empty where too few trials tell.

    Method: Hutter, Hoos and Leyton-Brown, ICML 2014.
    """
    complete = study.get_trials(states=(TrialState.COMPLETE,))
    if len(complete) < STARTUP or len({trial.value for trial in complete}) < 2:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {key: float(share) for key, share in found.items()}


def outcome_text(params: Mapping[str, object]) -> dict[str, str]:
    """A trial's choices as overrides spell them."""
    return {key: spelled(value) for key, value in params.items()}

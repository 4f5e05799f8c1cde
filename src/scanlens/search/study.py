"""The study on disk: opened or made, held by one process, what it lacks, and what it has come to.

Its trials are run by :mod:`scanlens.search.loop`. Optuna: Akiba et al., KDD 2019.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from scanlens.errors import ScanlensError, SettingsError
from scanlens.search.plan import TRIALS, Plan
from scanlens.search.space import grid

FOLDER = Path(".scanlens/sweeps")
PLAN, BASE, PARENT = "plan", "base_settings", "mlflow_run"
"""What a study remembers of itself."""
REASON, INTERRUPTED, RETRY_OF, WORKER = "reason", "interrupted", "retry_of", "worker"
"""What a trial remembers besides its values."""
STARTUP = 4
"""Trials before the median pruner and tpe have anything to go by."""


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


def open_study(project: Path, plan: Plan, base: str) -> optuna.Study:
    """The study of this plan, new or as an earlier sweep left it.

    Args:
        project: Its file is ``.scanlens/sweeps/<name>.db`` in here.
        plan: The sweep.
        base: Hash of the settings under all trials.

    Raises:
        SettingsError: A study of this name asks for something else.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path = (project / FOLDER / f"{plan.name}.db").resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    storage = optuna.storages.RDBStorage(f"sqlite:///{path}", engine_kwargs={"connect_args": {"timeout": 60}})
    study = optuna.create_study(
        storage=storage,
        study_name=plan.name,
        direction=plan.direction or None,
        sampler=_sampler(plan, storage),
        pruner=_pruner(plan),
        load_if_exists=True,
    )
    known = study.user_attrs
    if PLAN not in known:
        study.set_user_attr(PLAN, plan.identity())
        study.set_user_attr(BASE, base)
        return study
    remedy = f"Give this one another --name, or delete {FOLDER / plan.name}.db to begin anew."
    for what, wanted in plan.identity().items():
        if known[PLAN].get(what) != json.loads(json.dumps(wanted)):
            raise SettingsError(f"The study {plan.name} exists with another {what}.", remedy)
    if known[BASE] != base:
        raise SettingsError(f"conf/ has changed since the study {plan.name} began.", remedy)
    return study


def _sampler(plan: Plan, storage: optuna.storages.BaseStorage) -> optuna.samplers.BaseSampler:
    # Each start goes on with other random numbers: the same ones would propose the same trials again.
    try:
        done = len(optuna.load_study(study_name=plan.name, storage=storage, sampler=None).trials)
    except KeyError:
        done = 0
    if plan.sampler == "tpe":
        return optuna.samplers.TPESampler(
            seed=plan.seed + done, n_startup_trials=STARTUP, constant_liar=plan.jobs > 1
        )
    return optuna.samplers.RandomSampler(seed=plan.seed + done)


def _pruner(plan: Plan) -> optuna.pruners.BasePruner:
    if plan.pruner == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=STARTUP, n_warmup_steps=1)
    return optuna.pruners.HyperbandPruner() if plan.pruner == "hyperband" else optuna.pruners.NopPruner()


def wanted_trials(plan: Plan) -> int:
    """How many trials the study is to have in all.

    Raises:
        SettingsError: A grid without an end, or with nothing in it.
    """
    if plan.sampler != "grid":
        return plan.trials or TRIALS
    size = len(grid(plan.space, plan.exclude, plan.fixed))
    if not size:
        raise SettingsError("The grid is empty: exclude leaves nothing.")
    return min(plan.trials or size, size)


def finished(study: optuna.Study) -> list[FrozenTrial]:
    """Trials that count: complete, pruned, and failed by themselves."""
    ended = study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL))
    return [trial for trial in ended if not trial.user_attrs.get(INTERRUPTED)]


def take_up(study: optuna.Study) -> list[FrozenTrial]:
    """Have what a killed sweep left half-finished tried again; returns those trials.

    Only call it inside :func:`exclusive`: nobody else runs trials of this study.
    """
    left = mark_running(study)
    queued = [t.system_attrs.get("fixed_params") for t in study.get_trials(states=(TrialState.WAITING,))]
    ended = study.get_trials(states=(TrialState.FAIL,))
    retried = {trial.user_attrs.get(RETRY_OF) for trial in study.trials}
    for trial in ended:
        again = trial.user_attrs.get(INTERRUPTED) and trial.number not in retried
        # One that was stopped before it chose has at most the values it was queued with.
        params = trial.params or trial.system_attrs.get("fixed_params")
        if again and params and params not in queued:
            attributes = {RETRY_OF: trial.number, WORKER: trial.user_attrs.get(WORKER, 0)}
            study.enqueue_trial(params, user_attrs=attributes)
    return left


def mark_running(study: optuna.Study) -> list[FrozenTrial]:
    """Mark the trials that nobody runs any more as interrupted; returns them."""
    left = study.get_trials(states=(TrialState.RUNNING,))
    for trial in left:
        study._storage.set_trial_user_attr(trial._trial_id, INTERRUPTED, True)
        study.tell(trial.number, state=TrialState.FAIL)
    return left


def best_trial(study: optuna.Study) -> FrozenTrial:
    """The best complete trial.

    Raises:
        ScanlensError: There is none; says why.
    """
    if study.get_trials(states=(TrialState.COMPLETE,)):
        return study.best_trial
    failed = [trial for trial in finished(study) if trial.state is TrialState.FAIL]
    if not failed:
        raise ScanlensError(f"No trial of the study {study.study_name} has ended yet.")
    reason = failed[-1].user_attrs.get(REASON, "unknown")
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
    return {
        k: float(v) for k, v in optuna.importance.get_param_importances(study, evaluator=evaluator).items()
    }


def as_text(params: Mapping[str, object]) -> dict[str, str]:
    """A trial's choices as overrides spell them."""
    return {key: repr(value) if isinstance(value, float) else str(value) for key, value in params.items()}

"""The study and its loop: which trial next, how many at a time, what is recorded of each.

Nothing here knows the pipeline: a trial is a callable. Optuna: Akiba et al., KDD 2019.
"""

from __future__ import annotations

import fcntl
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
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


class Interrupted(Exception):
    """The sweep is being stopped: the trial is to be run again another day."""


@dataclass(frozen=True)
class Attempt:
    """One trial as its objective sees it.

    Attributes:
        number: In the study.
        choices: ``{key: value}`` as overrides spell them.
        worker: Which of the ``jobs`` runs it, from 0.
        report: Tell an epoch's value; answers whether the trial goes on.
        stopping: Set when the sweep is being stopped.
    """

    number: int
    choices: dict[str, str]
    worker: int
    report: Callable[[float, int], bool]
    stopping: threading.Event


Objective = Callable[[Attempt], float]
"""Runs a trial; raises ``optuna.TrialPruned``, :class:`Interrupted`, or ScanlensError where it fails."""
Observer = Callable[[FrozenTrial], None]


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
    left = _mark_running(study)
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


def _mark_running(study: optuna.Study) -> list[FrozenTrial]:
    """Mark the trials that nobody runs any more as interrupted; returns them."""
    left = study.get_trials(states=(TrialState.RUNNING,))
    for trial in left:
        study._storage.set_trial_user_attr(trial._trial_id, INTERRUPTED, True)
        study.tell(trial.number, state=TrialState.FAIL)
    return left


def _enqueue_grid(study: optuna.Study, plan: Plan) -> None:
    """Queue every combination that the study has not got yet."""
    known = [
        trial.params or trial.system_attrs.get("fixed_params", {})
        for trial in study.trials
        if not trial.user_attrs.get(INTERRUPTED)
    ]
    known_text = [{key: str(value) for key, value in params.items()} for params in known]
    numeric = {d.key: int if d.kind == "int" else float for d in plan.space if d.kind != "choice"}
    for combination in grid(plan.space, plan.exclude, plan.fixed):
        if combination not in known_text:
            study.enqueue_trial({k: numeric.get(k, str)(v) for k, v in combination.items()})


def run_study(study: optuna.Study, plan: Plan, objective: Objective, observe: Observer) -> None:
    """Run trials until the study has as many as wanted.

    A failing trial is recorded with its reason and the others go on.

    Args:
        study: From :func:`open_study`, after :func:`take_up`.
        plan: Space, number of trials and jobs.
        objective: Runs one trial; called in threads.
        observe: Called with each trial that ended, in this thread.

    Raises:
        KeyboardInterrupt: After every running trial has been stopped and marked for another try.
    """
    if plan.sampler == "grid":
        _enqueue_grid(study, plan)
    missing = wanted_trials(plan) - len(finished(study))
    stopping = threading.Event()
    free = set(range(plan.jobs))
    running: dict[Future[None], tuple[int, int]] = {}
    pool = ThreadPoolExecutor(plan.jobs)
    try:
        while missing > 0 or running:
            while missing > 0 and free:
                # In a thread: a stop must not meet this one, which is where signals go, amid a transaction.
                trial, worker = pool.submit(_begin, study, free).result()
                free.remove(worker)
                missing -= 1
                running[pool.submit(_attempt, study, plan, objective, trial, worker, stopping)] = (
                    worker,
                    trial.number,
                )
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                worker, number = running.pop(future)
                free.add(worker)
                future.result()
                observe(study.trials[number])
    except BaseException:
        stopping.set()
        # What this thread was reading would keep the workers from writing.
        study._storage.remove_session()
        pool.shutdown()
        # The stop may have come between a trial's beginning and its hand-over to a worker. What can't be
        # marked now is at the next start.
        with suppress(optuna.exceptions.StorageInternalError):
            _mark_running(study)
        raise
    pool.shutdown()


def _begin(study: optuna.Study, free: set[int]) -> tuple[optuna.Trial, int]:
    """The next trial and a free worker; for a retry the one that has the trial's checkpoint, if it can be."""
    trial = study.ask()
    before = trial.user_attrs.get(WORKER)
    worker = before if before in free else min(free)
    trial.set_user_attr(WORKER, worker)
    return trial, worker


def _attempt(
    study: optuna.Study,
    plan: Plan,
    objective: Objective,
    trial: optuna.Trial,
    worker: int,
    stopping: threading.Event,
) -> None:
    def report(value: float, step: int) -> bool:
        trial.report(value, step)
        return not trial.should_prune()

    def fail(reason: str) -> None:
        trial.set_user_attr(REASON, reason)
        study.tell(trial, state=TrialState.FAIL)

    try:
        choices = {dimension.key: dimension.suggest(trial) for dimension in plan.space}
        value = objective(Attempt(trial.number, choices, worker, report, stopping))
    except optuna.TrialPruned:
        study.tell(trial, state=TrialState.PRUNED)
    except Interrupted:
        trial.set_user_attr(INTERRUPTED, True)
        study.tell(trial, state=TrialState.FAIL)
    except ScanlensError as error:
        fail(str(error))
    except Exception as error:  # a trial must not end the sweep, whatever the pipeline raises
        fail(f"{type(error).__name__}: {error}")
    else:
        if value != value or abs(value) == float("inf"):
            fail(f"{plan.metric} is {value}")
        else:
            study.tell(trial, value)


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

"""The loop over a study's trials: which next, how many at a time, what is recorded of each.

Nothing here knows the pipeline: a trial is a callable.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass

import optuna
from optuna.trial import FrozenTrial, TrialState

from scanlens.errors import ScanlensError
from scanlens.search.plan import Plan
from scanlens.search.space import grid
from scanlens.search.study import INTERRUPTED, REASON, WORKER, finished, mark_running, wanted_trials


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
            mark_running(study)
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

"""The one place where a stage learns that it runs as a trial of a sweep.

A sweep starts its stages with :data:`VARIABLE` in the environment. The training stage then opens the trial in
Optuna's storage, reports each epoch there and stops where the pruner says so; runs carry the sweep's tags.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from scanlens.errors import ScanlensError

if TYPE_CHECKING:
    import optuna

VARIABLE = "SCANLENS_TRIAL"
STUDY, NUMBER, CHOICES = "scanlens.study", "scanlens.trial", "scanlens.choices"
"""Tags of a trial's run: the study's name, the trial's number, what the sweep chose (JSON)."""
STATE = "scanlens.trial_state"
"""Tag: complete, pruned, failed or interrupted."""
PARENT = "mlflow.parentRunId"
"""MLflow's own tag: the page of its server nests runs by it."""
PRUNED = "pruned"
"""What a trial's stage leaves with the trial when it stops by pruning."""
STARTUP = 4
"""Trials before the median pruner and tpe have anything to go by."""
_EpochHook = Callable[[dict[str, float], int], None]


class TrialStopped(ScanlensError):
    """The sweep wants no more epochs of this trial."""


@dataclass(frozen=True)
class Trial:
    """What a stage of a trial knows of its sweep.

    Attributes:
        study: The study's name.
        number: Of the trial in it.
        choices: ``{conf key: value}`` as text.
        parent: MLflow run of the whole sweep, or "".
        storage: Address of Optuna's storage.
        trial_id: The trial's id in it.
        metric: Which of an epoch's metrics is reported.
        pruner: Name of the pruner, see :func:`pruner`.
    """

    study: str
    number: int
    choices: dict[str, str]
    parent: str
    storage: str
    trial_id: int
    metric: str
    pruner: str

    def environment(self) -> dict[str, str]:
        """The variable that a stage reads."""
        return {VARIABLE: json.dumps(asdict(self))}

    def tags(self) -> dict[str, str]:
        """Of the trial's MLflow run."""
        tags = {STUDY: self.study, NUMBER: str(self.number), CHOICES: json.dumps(self.choices)}
        return {**tags, PARENT: self.parent} if self.parent else tags


def current_trial() -> Trial | None:
    """The trial that this process works for, or None."""
    text = os.environ.get(VARIABLE)
    return Trial(**json.loads(text)) if text else None


def open_storage(address: str) -> optuna.storages.RDBStorage:
    """Optuna's storage; SQLite waits a minute for other writers."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.storages.RDBStorage(address, engine_kwargs={"connect_args": {"timeout": 60}})


def pruner(name: str) -> optuna.pruners.BasePruner:
    """Optuna's pruner: ``median``, ``hyperband``, or one that never prunes."""
    import optuna

    if name == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=STARTUP, n_warmup_steps=1)
    return optuna.pruners.HyperbandPruner() if name == "hyperband" else optuna.pruners.NopPruner()


def with_sweep(listener: _EpochHook) -> _EpochHook:
    """``listener``, and in a trial the sweep too.

    Args:
        listener: Called first, so that the last epoch of a stopped trial is logged as well.

    Returns:
        A hook that raises :class:`TrialStopped` where the pruner, or a sweep that has given the trial up,
        wants no more.
    """
    known = current_trial()
    if known is None:
        return listener
    # Here, for stages that are no trial's need not wait for it.
    import optuna

    study = optuna.load_study(
        study_name=known.study, storage=open_storage(known.storage), pruner=pruner(known.pruner)
    )
    trial = optuna.trial.Trial(study, known.trial_id)

    def heard(metrics: dict[str, float], epoch: int) -> None:
        listener(metrics, epoch)
        if known.metric not in metrics:
            return
        try:
            trial.report(float(metrics[known.metric]), epoch)
            if not trial.should_prune():
                return
            trial.set_user_attr(PRUNED, True)
        except optuna.exceptions.UpdateFinishedTrialError:
            raise TrialStopped("the sweep that started this trial has given it up.") from None
        except optuna.exceptions.StorageInternalError as error:
            # A study that can't be written just now must not end a training.
            print(f"warning: an epoch was not judged: {error.__cause__ or error}", file=sys.stderr)
            return
        raise TrialStopped(f"the sweep stopped this trial after epoch {epoch + 1}.")

    return heard

"""The one place where a stage learns that it runs as a trial of a sweep.

A sweep starts its stages with :data:`VARIABLE` in the environment. The training stage then tells the sweep
each epoch's metrics over a local socket, and goes on or stops as it is answered; runs carry the sweep's tags.
Messages are JSON: nothing that comes over the socket is unpickled.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from multiprocessing.connection import Client

from scanlens.errors import ScanlensError

VARIABLE = "SCANLENS_TRIAL"
STUDY, NUMBER, CHOICES = "scanlens.study", "scanlens.trial", "scanlens.choices"
"""Tags of a trial's run: the study's name, the trial's number, what the sweep chose (JSON)."""
STATE = "scanlens.trial_state"
"""Tag: complete, pruned, failed or interrupted."""
PARENT = "mlflow.parentRunId"
"""MLflow's own tag: the page of its server nests runs by it."""
GO_ON, STOP = b"go on", b"stop"
EpochHook = Callable[[dict[str, float], int], None]


class TrialStopped(ScanlensError):
    """The sweep wants no more epochs of this trial, or is gone."""


@dataclass(frozen=True)
class Trial:
    """What a stage of a trial knows of its sweep.

    Attributes:
        study: The study's name.
        number: Of the trial in it.
        choices: ``{conf key: value}`` as text.
        parent: MLflow run of the whole sweep, or "".
        address: Of the sweep's socket.
        key: Hexadecimal secret that both sides hold.
    """

    study: str
    number: int
    choices: dict[str, str]
    parent: str
    address: str
    key: str

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


def with_sweep(listener: EpochHook) -> EpochHook:
    """``listener``, and in a trial the sweep too.

    Args:
        listener: Called first, so that the last epoch of a stopped trial is logged as well.

    Returns:
        A hook that raises :class:`TrialStopped` where the sweep wants no more.
    """
    trial = current_trial()
    if trial is None:
        return listener

    def heard(metrics: dict[str, float], epoch: int) -> None:
        listener(metrics, epoch)
        if _answer(trial, metrics, epoch) != GO_ON:
            raise TrialStopped(f"the sweep stopped this trial after epoch {epoch + 1}.")

    return heard


def _answer(trial: Trial, metrics: Mapping[str, float], epoch: int) -> bytes:
    message = {"epoch": epoch, "metrics": {name: float(value) for name, value in metrics.items()}}
    try:
        with Client(trial.address, authkey=bytes.fromhex(trial.key)) as connection:
            connection.send_bytes(json.dumps(message).encode())
            return connection.recv_bytes()
    except (OSError, EOFError) as error:
        raise TrialStopped("the sweep that started this trial is gone.") from error

"""What every kind of task says of itself, and the tasks by name.

Array code only: a task knows its labels, targets and words. What needs torch, figures or another heavy
library is a :func:`functools.singledispatch` function on the task's class where that library is imported:
:func:`scanlens.evaluation.assessment.assess`, :func:`scanlens.explanation.account.explain_task` and
``_rows_of`` of :mod:`scanlens.inference.batch`. A new kind of task registers its own there, and a missing one
fails by name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from scanlens.config.schema import Data
from scanlens.errors import ScanlensError, SettingsError

Targets = npt.NDArray[Any]
"""``(scan,)`` what a network learns: int64 class numbers, or float32 numbers."""
ClassNumbers = npt.NDArray[np.int64]
_Kind = Literal["string", "double"]


@dataclass(frozen=True)
class Metric:
    """A row of a report.

    Attributes:
        title: Its name for people.
        meaning: What it is, and which way is better.
        on_card: Whether the model card shows it.
    """

    title: str
    meaning: str
    on_card: bool = True


@dataclass(frozen=True)
class Task(ABC):
    """A kind of label.

    Attributes:
        name: Of ``data.task``.
        head: What ``model.head=auto`` means.
        has_classes: Whether labels name classes, so that scans can be balanced, probed and counted by them.
        metrics: Rows of a report, in order, by their name in ``evaluation.json``.
        headline: The metric that stands for a run.
    """

    name: str
    head: ClassVar[str]
    has_classes: ClassVar[bool]
    metrics: ClassVar[Mapping[str, Metric]]
    headline: ClassVar[str]

    # The data set.

    def clean(self, listing: pd.DataFrame) -> pd.DataFrame:
        """The listing with labels written in one way; a label that is none becomes its row's ``problem``."""
        return listing

    @abstractmethod
    def label_names(self, data: Data, listing: pd.DataFrame) -> list[str]:
        """The classes in order, or the number's name alone.

        Args:
            data: ``labels`` and ``columns`` of the settings.
            listing: Columns path, label and problem.

        Raises:
            SettingsError: The listing's labels do not make this task.
        """

    def resolved(self, names: Sequence[str]) -> Task:
        """The task itself, or which one ``auto`` means for these classes.

        Raises:
            SettingsError: Too many or too few classes.
        """
        return self

    @abstractmethod
    def count(self, listing: pd.DataFrame, names: Sequence[str]) -> dict[str, int]:
        """Scans of each label name in a listing."""

    @abstractmethod
    def strata(self, labels: pd.Series) -> pd.Series:
        """What to deal or balance by, indexed like ``labels``: the class, or the quantile bin of a number."""

    @abstractmethod
    def tolerance(self, labels: pd.Series) -> float | None:
        """How far apart two labels of the same pixels may be; None where they must be equal."""

    @abstractmethod
    def check_accepted(
        self, manifest: pd.DataFrame, accepted: npt.NDArray[np.bool_], names: list[str]
    ) -> None:
        """Refuse a manifest whose accepted scans are too few to learn from.

        Args:
            manifest: Columns label and status.
            accepted: ``(row,)``.
            names: As :meth:`label_names` gave them.

        Raises:
            SettingsError: Naming what is missing, and why most often.
        """

    # Targets.

    @abstractmethod
    def encode(self, labels: pd.Series, names: Sequence[str]) -> Targets:
        """Targets ``(scan,)`` of labels as text."""

    @abstractmethod
    def unknown(self, labels: pd.Series, names: Sequence[str]) -> list[str]:
        """Labels that :meth:`encode` does not know, sorted."""

    @abstractmethod
    def class_numbers(self, targets: Targets) -> ClassNumbers:
        """The class each scan counts as where classes are balanced; one for all where there are none."""

    def scale(self, targets: Targets) -> tuple[float, float]:
        """Mean and standard deviation that outputs are in units of; (0, 1) where labels are classes."""
        return 0.0, 1.0

    @abstractmethod
    def does(self, names: Sequence[str], calibration: Mapping[str, Any], scan: str) -> str:
        """What a network of this task does, in a sentence for its card.

        Args:
            names: Label names.
            calibration: Of ``calibration.json``.
            scan: "image" or "volume".
        """

    @abstractmethod
    def counted(self, names: Sequence[str], splits: Mapping[str, Mapping[str, int]]) -> list[str]:
        """Columns of a card's table of scans."""

    @abstractmethod
    def outputs(self, names: Sequence[str]) -> dict[str, _Kind]:
        """Columns of a prediction that every bundle of the task gives, with their kind."""


_TASKS: dict[str, Task] = {}


def register(task: Task) -> None:
    """Make a task known by its name.

    Raises:
        ValueError: The name is taken.
    """
    if task.name in _TASKS:
        raise ValueError(f"a task named {task.name} is registered already")
    _TASKS[task.name] = task


def task_names() -> list[str]:
    """Known names, ``auto`` among them."""
    return list(_TASKS)


def task_of(name: str) -> Task:
    """The task of a name.

    Raises:
        SettingsError: Names the value and the choices.

    Example:
        >>> from scanlens.tasks import task_of
        >>> task_of("regression").headline
        'mae'
    """
    if name not in _TASKS:
        raise SettingsError(f"data.task is {name!r}.", f"Choices: {', '.join(_TASKS)}.")
    return _TASKS[name]


def not_registered(function: str, task: Task) -> ScanlensError:
    """The error of a function that nobody has registered this kind of task for."""
    return ScanlensError(f"{function} does not know data.task={task.name} yet.")

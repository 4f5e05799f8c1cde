"""Classes in order, from lowest to highest: a neighbour taken for the class is the smaller mistake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from scanlens.config.numbers import is_number
from scanlens.errors import SettingsError
from scanlens.tasks.classes import Classes
from scanlens.tasks.task import Metric, Task


@dataclass(frozen=True)
class OrderedClasses(Classes):
    """Three or more classes in order."""

    head: ClassVar[str] = "ordinal"
    metrics: ClassVar[Mapping[str, Metric]] = {
        **Classes.metrics,
        "mae_classes": Metric("Mean error in classes", "how many classes off on average; lower is better"),
        "within_one": Metric("Within one class", "share of scans predicted right or one class off"),
        "kappa_quadratic": Metric(
            "Quadratic weighted kappa",
            "agreement beyond chance, classes far off count more; 0 is chance",
        ),
    }

    def ordered(self, found: list[str]) -> list[str]:
        """Sorted as numbers.

        Raises:
            SettingsError: A label is no number, so that the order is not known.
        """
        if not all(is_number(label) for label in found):
            raise SettingsError(
                f"data.task is {self.name}, but the order of the classes is not known: "
                f"{', '.join(sorted(found))}.",
                "Name them from lowest to highest in data.labels.",
            )
        return sorted(found, key=float)

    def resolved(self, names: Sequence[str]) -> Task:
        """The task itself.

        Raises:
            SettingsError: There are fewer than three classes.
        """
        if len(names) < 3:
            raise SettingsError(
                f"data.task is {self.name} but there are only two classes: {', '.join(names)}.",
                "Two classes have no order to learn: set data.task=auto.",
            )
        return self

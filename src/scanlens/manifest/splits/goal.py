"""What a deal of groups to parts (splits, folds) is measured against."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scanlens.errors import SettingsError
from scanlens.manifest.splits.groups import IntArray

Numbers = npt.NDArray[np.float64]

TOLERANCE = 0.02
"""Class ratios of a part are to be within this of those of all scans, and sizes of parts of the wanted."""
EXCESS_COST = 10.0
"""Cost of a share beyond the tolerance, a unit; the deviations themselves cost at most 1 each."""
UNSEEN_COST = 100.0
"""Cost of a class that the first part lacks."""
ABSENT_COST = 3.0
"""Cost of lacking all classes in another part, of those that have groups enough; in equal shares."""


@dataclass(frozen=True)
class Goal:
    """Shares wanted, and what it costs to miss them.

    Attributes:
        wanted: ``(part,)`` shares of the scans; they sum to 1.
        totals: ``(class,)`` scans, none zero.
        missing: ``(part, class)`` cost of a part without any scan of a class.
    """

    wanted: Numbers
    totals: Numbers
    missing: Numbers

    def cost(self, part: int, members: Numbers) -> Numbers:
        """Cost of one part; a deal costs the sum over its parts.

        Args:
            part: Its number.
            members: ``(..., class)`` scans in it.

        Returns:
            ``(...,)`` deviation of its size and mean deviation of what it holds of each class, plus what
            exceeds the tolerance and the classes it lacks, in units of their cost. Infinite for no scans.
        """
        size = members.sum(axis=-1)
        by_size = np.abs(size / self.totals.sum() - self.wanted[part])
        by_class = np.abs(members / self.totals - self.wanted[part]).mean(axis=-1)
        lacking = ((members == 0) * self.missing[part]).sum(axis=-1)
        cost = by_class + by_size + EXCESS_COST * self.excess(part, members) + lacking
        return np.where(size > 0, cost, np.inf)

    def excess(self, part: int, members: Numbers) -> Numbers:
        """By how much the size and the worst class ratio of a part exceed the tolerance, summed."""
        size = members.sum(axis=-1)
        by_size = np.abs(size / self.totals.sum() - self.wanted[part])
        ratios = members / np.maximum(size, 1)[..., None]
        by_ratio = np.abs(ratios - self.totals / self.totals.sum()).max(axis=-1)
        over = np.maximum(by_size - TOLERANCE, 0) + np.maximum(by_ratio - TOLERANCE, 0)
        return np.where(over < 1e-9, 0, over)

    def total(self, members: Numbers) -> float:
        """Cost of a whole deal, ``(part, class)`` scans."""
        return float(sum(self.cost(part, row) for part, row in enumerate(members)))

    def met(self, members: Numbers) -> bool:
        """Whether ``(part, class)`` scans are within the tolerance and no part lacks a class it needs."""
        lacking = ((members == 0) & (self.missing > 0)).any()
        return not lacking and all(self.excess(part, row) == 0 for part, row in enumerate(members))


def goal_of(profile: Numbers, wanted: Numbers, *, first_sees_all: bool) -> Goal:
    """Say what parts of the wanted shares should be like.

    Args:
        profile: ``(group, class)`` scans.
        wanted: ``(part,)`` shares.
        first_sees_all: Whether the first part (train) must see every class, even one of few groups.

    Raises:
        SettingsError: Fewer groups than parts.
    """
    if len(profile) < len(wanted):
        raise SettingsError(
            f"{len(profile)} patients cannot fill {len(wanted)} splits or folds "
            "(scans of identical content count as one patient).",
            "Add patients, or declare the split yourself with a split column.",
        )
    enough = (profile > 0).sum(axis=0) >= len(wanted)
    missing = np.tile(enough * (ABSENT_COST / profile.shape[1]), (len(wanted), 1))
    if first_sees_all:
        missing[0] = UNSEEN_COST
    return Goal(wanted, profile.sum(axis=0), missing)


def profile_of(labels: IntArray, groups: IntArray) -> Numbers:
    """Count the scans of each class in each group: ``(group, class)``."""
    profile = np.zeros((groups.max(initial=-1) + 1, labels.max(initial=-1) + 1))
    np.add.at(profile, (groups, labels), 1)
    return profile

"""What a deal costs: by hand for small ones, and where none is to be had."""

from __future__ import annotations

import numpy as np
import pytest

from scanlens.errors import SettingsError
from scanlens.manifest.splits.goal import (
    ABSENT_COST,
    EXCESS_COST,
    TOLERANCE,
    UNSEEN_COST,
    goal_of,
    profile_of,
)

PROFILE = np.array([[2.0, 0.0], [2.0, 0.0], [0.0, 2.0], [0.0, 2.0]])
"""Four groups of two scans each, two classes."""
HALVES = np.array([0.5, 0.5])


def test_a_profile_counts_scans_of_each_class_in_each_group() -> None:
    labels, groups = np.array([0, 1, 1, 0]), np.array([0, 0, 1, 2])
    assert profile_of(labels, groups).tolist() == [[1, 1], [0, 1], [1, 0]]


def test_a_perfect_deal_costs_nothing_and_is_met() -> None:
    goal = goal_of(PROFILE, HALVES, first_sees_all=False)
    members = np.array([[2.0, 2.0], [2.0, 2.0]])
    assert goal.total(members) == 0
    assert goal.met(members)


def test_a_deal_by_hand() -> None:
    goal = goal_of(PROFILE, HALVES, first_sees_all=True)
    lopsided = np.array([4.0, 0.0])  # half of the scans, all of one class
    excess = 0.5 - TOLERANCE
    assert goal.excess(0, lopsided) == pytest.approx(excess)
    assert goal.cost(0, lopsided) == pytest.approx(0.5 + EXCESS_COST * excess + UNSEEN_COST)
    # Two classes have groups enough: one of them missing in another part is half of the cost of all.
    assert goal.cost(1, lopsided) == pytest.approx(0.5 + EXCESS_COST * excess + ABSENT_COST / 2)
    assert not goal.met(np.array([[4.0, 0.0], [0.0, 4.0]]))


def test_an_empty_part_is_out_of_the_question() -> None:
    assert goal_of(PROFILE, HALVES, first_sees_all=False).cost(1, np.zeros(2)) == np.inf


def test_a_class_of_too_few_groups_may_be_missing_behind_the_first_part() -> None:
    rare = np.array([[5.0, 0.0], [5.0, 0.0], [5.0, 1.0]])
    goal = goal_of(rare, HALVES, first_sees_all=True)
    assert goal.missing.tolist() == [[UNSEEN_COST, UNSEEN_COST], [ABSENT_COST / 2, 0]]


def test_fewer_groups_than_parts_are_refused() -> None:
    with pytest.raises(SettingsError, match="1 patients cannot fill 2"):
        goal_of(PROFILE[:1], HALVES, first_sees_all=False)

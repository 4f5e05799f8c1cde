"""Moves and swaps find the best deal there is, of all deals where these can be counted."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from scanlens.manifest.splits.goal import Goal, goal_of
from scanlens.manifest.splits.improve import settle

SHARES = np.array([0.5, 0.25, 0.25])


def members(parts: np.ndarray, profile: np.ndarray) -> np.ndarray:
    return np.stack([profile[parts == part].sum(axis=0) for part in range(len(SHARES))])


def settled(starts: list[np.ndarray], profile: np.ndarray, goal: Goal) -> np.ndarray:
    return settle(starts, profile, goal, np.random.default_rng(0))


@pytest.mark.parametrize("seed", range(5))
def test_it_is_as_good_as_the_best_of_all_deals(seed: int) -> None:
    rng = np.random.default_rng(seed)
    profile = rng.integers(0, 4, (8, 2)) + np.array([1.0, 0.0])
    goal = goal_of(profile, SHARES, first_sees_all=True)
    starts = [rng.integers(0, 3, 8) for _ in range(20)]
    best = min(goal.total(members(np.array(parts), profile)) for parts in product(range(3), repeat=8))
    assert goal.total(members(settled(starts, profile, goal), profile)) == pytest.approx(best, abs=0.05)


def test_a_deal_within_the_tolerance_is_taken_as_it_is() -> None:
    profile = np.ones((8, 2))
    goal = goal_of(profile, SHARES, first_sees_all=True)
    good, bad = np.array([0, 0, 0, 0, 1, 1, 2, 2]), np.array([0, 0, 0, 0, 0, 0, 1, 2])
    assert settled([bad, good], profile, goal) is good


def test_a_swap_is_found_where_no_move_helps() -> None:
    """Sizes are right and classes apart: every move alone makes sizes worse."""
    profile = np.array([[4.0, 0.0]] * 2 + [[0.0, 4.0]] * 2)
    goal = goal_of(profile, np.array([0.5, 0.5]), first_sees_all=True)
    start = np.array([0, 0, 1, 1])
    found = settled([start], profile, goal)
    assert sorted(found[:2].tolist()) == sorted(found[2:].tolist()) == [0, 1]
    assert start.tolist() == [0, 0, 1, 1], "the start is left as it was"

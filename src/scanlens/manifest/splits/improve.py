"""Better a deal of groups to parts: move a group, or swap two, while that brings it nearer the goal."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from scanlens.manifest.splits.goal import Goal, Numbers
from scanlens.manifest.splits.groups import IntArray

STARTS = 40
"""Deals from which groups are moved, where the best deal is not within the tolerance."""
STEPS = 200
"""Most moves and swaps from one start."""
MAX_SWAPS = 60_000
"""Swaps that one step compares, about: with more kinds of groups (of equal class counts) some are drawn."""
NONE = -1
"""In place of a kind: nothing moves in this direction."""

Step = tuple[int, int, int, int]
"""One part, another one, the kind that leaves the first for the second, and the kind that comes back."""


def settle(starts: list[IntArray], profile: Numbers, goal: Goal, generator: np.random.Generator) -> IntArray:
    """Take the best deal; where none is within the tolerance, improve the first and take the best of those.

    Args:
        starts: Deals to begin with, ``(group,)`` part numbers each.
        profile: ``(group, class)`` scans.
        goal: What deals are measured against.
        generator: Chooses the kinds of groups that are tried where there are many.

    Returns:
        ``(group,)`` part numbers.
    """
    kinds, kind_of = np.unique(profile, axis=0, return_inverse=True)
    kind_of = kind_of.ravel()
    shape = (len(goal.wanted), len(kinds))
    costs = [goal.total(_inventory(parts, kind_of, shape) @ kinds) for parts in starts]
    best, lowest = starts[int(np.argmin(costs))], np.inf
    if goal.met(_inventory(best, kind_of, shape) @ kinds):
        return best
    for number in np.argsort(costs, kind="stable")[:STARTS]:
        parts = starts[number].copy()
        held = _inventory(parts, kind_of, shape)
        _improve(parts, held, kinds, kind_of, goal, generator)
        cost = goal.total(held @ kinds)
        if cost < lowest:
            best, lowest = parts, cost
        if goal.met(held @ kinds):
            break
    return best


def _inventory(parts: IntArray, kind_of: IntArray, shape: tuple[int, int]) -> IntArray:
    """How many groups of each kind each part holds: ``(part, kind)``."""
    return np.bincount(parts * shape[1] + kind_of, minlength=shape[0] * shape[1]).reshape(shape)


def _improve(
    parts: IntArray,
    held: IntArray,
    kinds: Numbers,
    kind_of: IntArray,
    goal: Goal,
    generator: np.random.Generator,
) -> None:
    """Take the best step there is until none helps; ``parts`` and ``held`` are changed in place."""
    for _ in range(STEPS):
        step = _best_step(held, kinds, goal, generator)
        if step is None:
            return
        one, other, leaving, coming = step
        for source, target, kind in ((one, other, leaving), (other, one, coming)):
            if kind != NONE:
                parts[np.flatnonzero((parts == source) & (kind_of == kind))[0]] = target
                held[source, kind] -= 1
                held[target, kind] += 1


def _best_step(held: IntArray, kinds: Numbers, goal: Goal, generator: np.random.Generator) -> Step | None:
    """Compare every move and swap between every two parts."""
    members = held @ kinds
    pairs = list(combinations(range(len(held)), 2))
    most = int((MAX_SWAPS / len(pairs)) ** 0.5)
    least, step = 1e-9, None
    for one, other in pairs:
        here, there = (_choices(held[part], most, generator) for part in (one, other))
        change = _vectors(here, kinds)[:, None] - _vectors(there, kinds)[None]
        after = goal.cost(one, members[one] - change) + goal.cost(other, members[other] + change)
        place = int(np.argmin(after))
        if np.isinf(after.flat[place]):
            continue
        before = goal.cost(one, members[one]) + goal.cost(other, members[other])
        gain = float(before - after.flat[place])
        if gain > least:
            least = gain
            leaving, coming = divmod(place, len(there))
            step = (one, other, int(here[leaving]), int(there[coming]))
    return step


def _choices(held: IntArray, most: int, generator: np.random.Generator) -> IntArray:
    """The kinds that a part holds, or so many of them, and none."""
    present = np.flatnonzero(held)
    if len(present) > most:
        present = np.sort(generator.choice(present, most, replace=False))
    return np.append(present, NONE)


def _vectors(choices: IntArray, kinds: Numbers) -> Numbers:
    """``(choice, class)`` scans that move with each choice."""
    return np.where((choices == NONE)[:, None], 0, kinds[choices])

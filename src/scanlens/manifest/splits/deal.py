"""Deal groups of scans to splits of wanted sizes, each class in its share.

Groups are packed into folds of like classes, many deals of the folds to the splits are compared, and where
the best of them misses the tolerance single groups are moved (:mod:`scanlens.manifest.splits.improve`).
"""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt
import pandas as pd

from scanlens.manifest.splits.goal import Goal, Numbers, goal_of, profile_of
from scanlens.manifest.splits.groups import IntArray
from scanlens.manifest.splits.improve import STARTS, settle
from scanlens.types import SPLITS

MAX_FOLDS = 50
"""Up to so many groups each is a fold of its own; more are packed into 10 to so many folds."""
DEALS = 4000
"""Deals of the folds to the splits that are compared, drawn at random…"""
ALL_DEALS = 60_000
"""…or all there are, up to so many: those of 10 groups to 3 splits."""
PACKINGS = 4
"""Packings that are tried; from MANY_GROUPS groups on one does: they take long and hardly differ."""
MANY_GROUPS = 2000

Names = npt.NDArray[np.object_]


def deal_splits(scans: pd.DataFrame, groups: IntArray, fractions: dict[str, float], seed: int) -> Names:
    """Name the split of each scan.

    Args:
        scans: Column label. The deal depends on the order of the rows: callers sort them.
        groups: ``(scan,)`` numbers of what must stay together.
        fractions: Wanted share of each split named, summing to 1. The first of train, val, test among them
            must see every class, the others those that have groups enough.
        seed: Of the deals.

    Returns:
        ``(scan,)`` names; each of ``fractions`` occurs.

    Raises:
        SettingsError: Fewer groups than splits.
    """
    names = [name for name in SPLITS if name in fractions]
    wanted = np.array([fractions[name] for name in names])
    labels = label_codes(scans)
    profile = profile_of(labels, groups)
    goal = goal_of(profile, wanted, first_sees_all=True)
    generator = np.random.default_rng(seed)
    starts: list[IntArray] = []
    for folds in _packings(labels, groups, _number_of_folds(wanted), generator):
        starts += [parts[folds] for parts in _best_deals(profile, folds, goal, generator)]
    return np.array(names, dtype=object)[settle(starts, profile, goal, generator)[groups]]


def label_codes(scans: pd.DataFrame) -> IntArray:
    """Number the classes in alphabetical order: ``(scan,)``."""
    return pd.factorize(scans["label"], sort=True)[0].astype(np.int64)


def packings_of(groups: IntArray, generator: np.random.Generator) -> list[int]:
    """Draw a seed for each packing that is worth trying."""
    packings = PACKINGS if groups.max() < MANY_GROUPS else 1
    return [int(seed) for seed in generator.integers(2**31, size=packings)]


def stratified_packing(labels: IntArray, groups: IntArray, folds: int, seed: int) -> IntArray:
    """Pack groups into folds of like classes, by scikit-learn's StratifiedGroupKFold.

    Returns:
        ``(group,)`` fold numbers.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    packing = np.empty(groups.max() + 1, dtype=np.int64)
    kfold = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        for number, (_, members) in enumerate(kfold.split(labels, labels, groups)):
            packing[groups[members]] = number
    return packing


def _packings(
    labels: IntArray, groups: IntArray, folds: int, generator: np.random.Generator
) -> list[IntArray]:
    """Give the fold number of each group, for one or several packings of the groups into folds."""
    number_of_groups = int(groups.max()) + 1
    if number_of_groups <= MAX_FOLDS or folds > np.bincount(labels).max():
        return [np.arange(number_of_groups)]
    return [stratified_packing(labels, groups, folds, seed) for seed in packings_of(groups, generator)]


def _number_of_folds(wanted: Numbers) -> int:
    """Least number of equal folds, from 10 to MAX_FOLDS, whose multiples come nearest the fractions."""

    def rounding(folds: int) -> float:
        return round(float(np.abs(_whole_shares(folds, wanted) / folds - wanted).max()), 9)

    return min(range(10, MAX_FOLDS + 1), key=rounding)


def _whole_shares(folds: int, wanted: Numbers) -> IntArray:
    """Deal ``folds`` by largest remainder, at least one to each split."""
    shares = np.maximum(np.floor(folds * wanted), 1).astype(np.int64)
    while shares.sum() != folds:
        missing = folds * wanted - shares
        if shares.sum() < folds:
            shares[np.argmax(missing)] += 1
        else:
            shares[np.argmin(np.where(shares > 1, missing, np.inf))] -= 1
    return shares


def _best_deals(
    profile: Numbers, folds: IntArray, goal: Goal, generator: np.random.Generator
) -> list[IntArray]:
    """Try many deals of the folds to the splits and keep those nearest the goal.

    Args:
        profile: ``(group, class)`` scans.
        folds: ``(group,)`` fold numbers.
        goal: What deals are measured against.
        generator: Source of the deals.

    Returns:
        Up to :data:`~scanlens.manifest.splits.improve.STARTS` deals, ``(fold,)`` split numbers each, best
        first.
    """
    members = np.zeros((folds.max() + 1, profile.shape[1]))
    np.add.at(members, folds, profile)
    shares = _whole_shares(len(members), goal.wanted)
    if len(shares) ** len(members) <= ALL_DEALS:
        deals = np.indices((len(shares),) * len(members)).reshape(len(members), -1).T
    else:
        deals = np.tile(np.repeat(np.arange(len(shares)), shares), (DEALS, 1))
        deals = generator.permuted(deals, axis=1)
    cost = np.sum([goal.cost(part, (deals == part) @ members) for part in range(len(shares))], axis=0)
    return [deals[number].astype(np.int64) for number in np.argsort(cost, kind="stable")[:STARTS]]

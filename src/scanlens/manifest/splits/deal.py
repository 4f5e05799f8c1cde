"""Deal groups of scans to parts (splits, folds) of wanted sizes, each class in its share.

The best of several seeds of scikit-learn's StratifiedGroupKFold. Where its folds miss the tolerance, as those
of few or of uneven groups do, single groups are moved and swapped.
"""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt
import pandas as pd

from scanlens.errors import SettingsError
from scanlens.types import SPLITS, IntArray

GroupNames = npt.NDArray[np.object_]
Numbers = npt.NDArray[np.float64]

TOLERANCE = 0.02
"""Class ratios of a part are to be within this of those of all scans, and sizes of parts of the wanted."""
_LACKING = 0.1
"""Cost of a part that lacks all classes that it should have; a deviation costs what exceeds the tolerance."""
_TIE = 1e-4
"""Cost of a deviation within the tolerance: of two good deals the better one is taken."""
_GOOD = 2 * TOLERANCE * _TIE
"""Most that a deal costs which is within the tolerance and lacks nothing."""
_UNSEEN = 10.0
"""Cost of a class that the first part lacks where it must see all."""
_TRIES = 10
"""Seeds that are tried at most; the first whose deal is within the tolerance is taken."""
MAX_FOLDS = 50
"""Up to so many groups each is a fold of its own; more are packed into 10 to so many folds."""
_DEALS = 1000
"""Deals of the folds to parts that are compared, for each seed."""
_STEPS = 60
"""Most times that the best of :data:`_SWAPS` random moves and swaps is taken, for each seed."""
_SWAPS = 2000


def deal_splits(scans: pd.DataFrame, groups: IntArray, fractions: dict[str, float], seed: int) -> GroupNames:
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

    Example:
        >>> scans = pd.DataFrame({"label": ["normal", "nodule"] * 10})
        >>> patients = np.arange(20) // 2  # two scans each
        >>> dealt = deal_splits(scans, patients, {"train": 0.6, "val": 0.2, "test": 0.2}, seed=0)
        >>> {name: int((dealt == name).sum()) for name in ("train", "val", "test")}
        {'train': 12, 'val': 4, 'test': 4}
        >>> np.array_equal(dealt[::2], dealt[1::2])  # patients stay whole
        True
    """
    names = [name for name in SPLITS if name in fractions]
    wanted = np.array([fractions[name] for name in names])
    parts = deal(scans["label"], groups, wanted, _number_of_folds(wanted), seed, first_sees_all=True)
    return np.array(names, dtype=object)[parts]


def deal(
    labels: pd.Series, groups: IntArray, wanted: Numbers, folds: int, seed: int, *, first_sees_all: bool
) -> IntArray:
    """Deal groups to parts.

    Args:
        labels: Class of each scan.
        groups: ``(scan,)`` numbers of what must stay together.
        wanted: ``(part,)`` shares of the scans; they sum to 1.
        folds: Equal folds that groups are packed into first; whole numbers of them make up a part.
        seed: Of the deals.
        first_sees_all: Whether the first part must see every class, even one of few groups.

    Returns:
        ``(scan,)`` part numbers.

    Raises:
        SettingsError: Fewer groups than parts.

    Example:
        >>> labels, groups = pd.Series(["normal", "nodule"] * 10), np.arange(20) // 2
        >>> parts = deal(labels, groups, np.array([0.5, 0.5]), folds=2, seed=0, first_sees_all=True)
        >>> np.bincount(parts).tolist()
        [10, 10]
    """
    codes = pd.factorize(labels, sort=True)[0].astype(np.int64)
    profile = np.zeros((groups.max(initial=-1) + 1, codes.max(initial=-1) + 1))
    np.add.at(profile, (groups, codes), 1)
    if len(profile) < len(wanted):
        raise SettingsError(
            f"{len(profile)} patients cannot fill {len(wanted)} splits or folds "
            "(scans of identical content count as one patient).",
            "Add patients, or declare the split yourself with a split column.",
        )
    # A class that has groups enough is needed in every part.
    enough = (profile > 0).sum(axis=0) >= len(wanted)
    needed = np.tile(enough * (_LACKING / profile.shape[1]), (len(wanted), 1))
    if first_sees_all:
        needed[0] = _UNSEEN
    generator = np.random.default_rng(seed)
    best, lowest = np.zeros(len(profile), dtype=np.int64), np.inf
    for _ in range(_TRIES):
        packing = _packing(codes, groups, folds, int(generator.integers(2**31)))
        parts = _best_deal(profile, packing, wanted, needed, generator)
        cost = _improve(parts, profile, wanted, needed, generator)
        if cost < lowest:
            best, lowest = parts, cost
        if cost <= _GOOD:
            break
    return best[groups]


def _cost(members: Numbers, wanted: Numbers, needed: Numbers) -> Numbers:
    """How far deals are from what is wanted; up to :data:`_GOOD` they are within the tolerance.

    Args:
        members: ``(..., part, class)`` scans.
        wanted: ``(part,)`` shares.
        needed: ``(part, class)`` cost of a part without any scan of a class.

    Returns:
        ``(...,)`` what sizes and class ratios deviate by, and what is lacking. Rounded: the same deal is the
        best on every machine.
    """
    sizes = members.sum(axis=-1)
    total = members.sum(axis=-2)
    by_size = np.abs(sizes / total.sum(axis=-1, keepdims=True) - wanted)
    ratios = members / np.maximum(sizes, 1)[..., None]
    by_ratio = np.abs(ratios - (total / total.sum(axis=-1, keepdims=True))[..., None, :]).max(axis=-1)
    lacking = ((members == 0) * needed).sum(axis=(-1, -2)) + 1e6 * (sizes == 0).sum(axis=-1)
    excess = np.maximum(by_size - TOLERANCE, 0) + np.maximum(by_ratio - TOLERANCE, 0)
    return np.round(excess.sum(axis=-1) + _TIE * (by_size + by_ratio).mean(axis=-1) + lacking, 9)


def _packing(codes: IntArray, groups: IntArray, folds: int, seed: int) -> IntArray:
    """Pack groups into folds of like classes: ``(group,)`` fold numbers."""
    from sklearn.model_selection import StratifiedGroupKFold

    number_of_groups = int(groups.max()) + 1
    if number_of_groups <= MAX_FOLDS or folds > np.bincount(codes).max():
        return np.arange(number_of_groups)
    packing = np.empty(number_of_groups, dtype=np.int64)
    kfold = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        for number, (_, members) in enumerate(kfold.split(codes, codes, groups)):
            packing[groups[members]] = number
    return packing


def _number_of_folds(wanted: Numbers) -> int:
    """Least number of equal folds, from 10 to MAX_FOLDS, whose multiples come nearest the fractions."""

    def rounding(folds: int) -> float:
        return round(float(np.abs(_whole_shares(folds, wanted) / folds - wanted).max()), 9)

    return min(range(10, MAX_FOLDS + 1), key=rounding)


def _whole_shares(folds: int, wanted: Numbers) -> IntArray:
    """Deal ``folds`` by largest remainder, at least one to each part."""
    shares = np.maximum(np.floor(folds * wanted), 1).astype(np.int64)
    while shares.sum() != folds:
        missing = folds * wanted - shares
        if shares.sum() < folds:
            shares[np.argmax(missing)] += 1
        else:
            shares[np.argmin(np.where(shares > 1, missing, np.inf))] -= 1
    return shares


def _best_deal(
    profile: Numbers, packing: IntArray, wanted: Numbers, needed: Numbers, generator: np.random.Generator
) -> IntArray:
    """Compare random deals of the folds to the parts: ``(group,)`` part numbers of the best."""
    folds = np.zeros((packing.max() + 1, profile.shape[1]))
    np.add.at(folds, packing, profile)
    plain = np.repeat(np.arange(len(wanted)), _whole_shares(len(folds), wanted))
    deals = generator.permuted(np.tile(plain, (_DEALS, 1)), axis=1)
    members = np.stack([(deals == part) @ folds for part in range(len(wanted))], axis=1)
    return deals[np.argmin(_cost(members, wanted, needed))][packing].astype(np.int64)


def _improve(
    parts: IntArray,
    profile: Numbers,
    wanted: Numbers,
    needed: Numbers,
    generator: np.random.Generator,
) -> float:
    """Move a group, or swap two, while that helps and the deal is not good; changes ``parts`` in place.

    Returns:
        Cost of the deal.
    """
    members = np.zeros((len(wanted), profile.shape[1]))
    np.add.at(members, parts, profile)
    cost = float(_cost(members, wanted, needed))
    draw = np.arange(_SWAPS)
    for _ in range(_STEPS):
        if cost <= _GOOD:
            break
        one, other = generator.integers(len(parts), size=(2, _SWAPS))
        # Half of them bring nothing back.
        swapped = draw % 2 == 0
        target = np.where(swapped, parts[other], generator.integers(len(wanted), size=_SWAPS))
        change = profile[one] - np.where(swapped[:, None], profile[other], 0)
        after = np.tile(members, (_SWAPS, 1, 1))
        after[draw, parts[one]] -= change
        after[draw, target] += change
        costs = _cost(after, wanted, needed)
        chosen = int(np.argmin(costs))
        if costs[chosen] < cost:
            cost, members = float(costs[chosen]), after[chosen]
            if swapped[chosen]:
                parts[other[chosen]] = parts[one[chosen]]
            parts[one[chosen]] = target[chosen]
    return cost

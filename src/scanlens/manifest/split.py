"""Deal scans to train, val and test: whole patients at a time, each class in its share.

A patient's scans, and scans of identical content, form a group; groups are numbered by their first
appearance in the table, so that pseudonyms (which depend on a secret key) do not change the deal.
"""

from __future__ import annotations

import logging
import warnings

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import StratifiedGroupKFold

from scanlens.config.schema import SplitConfig
from scanlens.errors import SettingsError
from scanlens.types import SPLITS

IntArray = npt.NDArray[np.int64]

MAX_FOLDS = 50
"""Up to so many groups each is a fold of its own; more are packed into 10 to so many folds."""
DEALS = 4000
"""Deals of the folds to the splits that are compared."""
MISSING_CLASS = np.array([100.0, 1.0, 1.0])
"""Cost of a class without any scan in train, val, test; a deviation costs at most 1."""

logger = logging.getLogger(__name__)


def check_split_settings(config: SplitConfig, listing: pd.DataFrame) -> None:
    """Refuse wrong fractions and wrong declared splits before any scan is read.

    Args:
        config: The split's settings.
        listing: Columns path, patient, split (declared; empty = none).

    Raises:
        SettingsError: With the setting or the scan that is at fault.
    """
    fractions = config.fractions
    if sorted(fractions) != sorted(SPLITS) or any(part <= 0 for part in fractions.values()):
        raise SettingsError(
            f"manifest.split.fractions: expected a positive number for each of {', '.join(SPLITS)}, "
            f"got {fractions}.",
            "To declare your own test split use a split column.",
        )
    if abs(sum(fractions.values()) - 1) > 1e-6:
        raise SettingsError(
            f"manifest.split.fractions: they sum to {sum(fractions.values()):g}.", "Make them sum to 1."
        )
    if effective_method(config, listing) == "official":
        _check_declared(listing)


def effective_method(config: SplitConfig, listing: pd.DataFrame) -> str:
    """``official`` in place of ``grouped`` where the data declares a split, else the method set."""
    if config.method == "grouped" and (listing["split"] != "").any():
        return "official"
    return config.method


def assign_splits(scans: pd.DataFrame, config: SplitConfig) -> pd.Series:
    """Name the split of each accepted scan.

    Args:
        scans: One row a scan: path, patient, label, sha256, split (declared; empty = none).
        config: Method, fractions and seed. ``grouped`` keeps patients whole. ``random`` ignores
            patients: it leaks, and is there to show by how much. ``official`` takes the declared
            split, and carves a missing val out of train by patient.

    Returns:
        train, val or test, indexed like ``scans``.

    Raises:
        SettingsError: Too few patients, or a class that training would never see.
    """
    method = effective_method(config, scans)
    if method == "official":
        if config.method != method:
            logger.info("The data declares a split: manifest.split.method=official is used.")
        splits = _official(scans, config)
    else:
        if method == "random":
            logger.warning(
                "manifest.split.method=random ignores patients: scans of one patient reach several "
                "splits and the test metrics are too good."
            )
            groups = np.arange(len(scans))
        else:
            groups = patient_groups(scans)
        splits = pd.Series(_deal(scans, groups, dict(config.fractions), config.seed), index=scans.index)
    unseen = sorted(set(scans["label"]) - set(scans["label"][splits == "train"]))
    if unseen:
        raise SettingsError(
            f"no scan of class {unseen[0]} is in the training split.",
            "Add patients of that class, or leave it out with data.labels.",
        )
    return splits


def patient_groups(scans: pd.DataFrame) -> IntArray:
    """Number the groups that must stay together: same patient, or same content (also in a chain).

    Args:
        scans: Columns patient, sha256.

    Returns:
        ``(scan,)`` group numbers in order of first appearance.
    """
    patients, _ = pd.factorize(scans["patient"])
    contents, _ = pd.factorize(scans["sha256"])
    nodes = len(scans) * 2
    links = coo_array((np.ones(len(scans)), (patients, contents + len(scans))), shape=(nodes, nodes))
    _, component = connected_components(links, directed=False)
    groups, _ = pd.factorize(component[patients])
    return groups.astype(np.int64)


def _check_declared(listing: pd.DataFrame) -> None:
    usable = listing[listing["problem"] == ""] if "problem" in listing else listing
    unknown = usable[~usable["split"].isin(SPLITS)]
    if len(unknown):
        row = unknown.iloc[0]
        raise SettingsError(
            f"{row['path']}: declared split {row['split']!r} is none of {', '.join(SPLITS)}"
            f" ({len(unknown)} scans).",
            "Fill the split column, or set data.columns.split=null to have the scans dealt.",
        )
    declared = set(usable["split"])
    for needed in ("train", "test"):
        if needed not in declared:
            raise SettingsError(
                f"the declared split has no {needed} scans.",
                "Declare some, or set data.columns.split=null to have the scans dealt.",
            )
    known = usable[usable["patient"] != ""]
    several = known.groupby("patient", sort=False)["split"].transform("nunique") > 1
    if several.any():
        first = known[several].iloc[0]
        twin = known[(known["patient"] == first["patient"]) & (known["split"] != first["split"])].iloc[0]
        raise SettingsError(
            f"{first['path']} ({first['split']}) and {twin['path']} ({twin['split']}) are of one patient "
            "in two declared splits.",
            "Correct the split column, or set data.columns.split=null to have the scans dealt.",
        )


def _official(scans: pd.DataFrame, config: SplitConfig) -> pd.Series:
    # Again, as quarantine may have emptied a split and files may have named patients the table did not.
    _check_declared(scans)
    splits = scans["split"].copy()
    if not (splits == "val").any():
        rest = scans[splits == "train"]
        share = config.fractions["val"] / (config.fractions["train"] + config.fractions["val"])
        logger.info("The declared split has no val: %.0f %% of train become val, by patient.", 100 * share)
        parts = {"train": 1 - share, "val": share}
        splits[rest.index] = _deal(rest, patient_groups(rest), parts, config.seed)
    return splits


def _deal(
    scans: pd.DataFrame, groups: IntArray, fractions: dict[str, float], seed: int
) -> npt.NDArray[np.object_]:
    """Pack groups into folds of like classes, then deal the folds: the deal nearest the fractions wins."""
    names = [name for name in SPLITS if name in fractions]
    wanted = np.array([fractions[name] for name in names])
    number_of_groups = int(groups.max(initial=-1)) + 1
    if number_of_groups < len(names):
        raise SettingsError(
            f"{number_of_groups} patients cannot fill the splits {', '.join(names)} "
            "(scans of identical content count as one patient).",
            "Add patients, or declare the split yourself with a split column.",
        )
    labels, _ = pd.factorize(scans["label"], sort=True)
    generator = np.random.default_rng(seed)
    best, best_cost = groups, np.inf
    for folds in _packings(labels.astype(np.int64), groups, wanted, generator):
        counts = np.zeros((folds.max() + 1, labels.max() + 1))
        np.add.at(counts, (folds, labels), 1)
        deal, cost = _best_deal(counts, wanted, generator)
        if cost < best_cost:
            best, best_cost = deal[folds], cost
    return np.array(names, dtype=object)[best]


def _packings(
    labels: IntArray, groups: IntArray, wanted: npt.NDArray[np.float64], generator: np.random.Generator
) -> list[IntArray]:
    """Give the fold number of each scan, for one or several packings of the groups into folds."""
    folds = _number_of_folds(wanted)
    if groups.max() < MAX_FOLDS or folds > np.bincount(labels).max():
        return [groups]
    packings = []
    # A packing takes time in proportion to the groups, and differs little where they are many.
    for _ in range(4 if groups.max() < 2000 else 1):
        seed = int(generator.integers(2**31))
        packing = np.empty(len(groups), dtype=np.int64)
        kfold = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The least populated class", UserWarning)
            for number, (_, members) in enumerate(kfold.split(labels, labels, groups)):
                packing[members] = number
        packings.append(packing)
    return packings


def _number_of_folds(wanted: npt.NDArray[np.float64]) -> int:
    """Least number of equal folds, from 10 to MAX_FOLDS, whose multiples come nearest the fractions."""

    def rounding(folds: int) -> float:
        return round(float(np.abs(_whole_shares(folds, wanted) / folds - wanted).max()), 9)

    return min(range(10, MAX_FOLDS + 1), key=rounding)


def _whole_shares(folds: int, wanted: npt.NDArray[np.float64]) -> IntArray:
    """Deal ``folds`` by largest remainder, at least one to each split."""
    shares = np.maximum(np.floor(folds * wanted), 1).astype(np.int64)
    while shares.sum() != folds:
        missing = folds * wanted - shares
        if shares.sum() < folds:
            shares[np.argmax(missing)] += 1
        else:
            shares[np.argmin(np.where(shares > 1, missing, np.inf))] -= 1
    return shares


def _best_deal(
    counts: npt.NDArray[np.float64], wanted: npt.NDArray[np.float64], generator: np.random.Generator
) -> tuple[IntArray, float]:
    """Try many deals of the folds and keep the one nearest the wanted fractions.

    Args:
        counts: ``(fold, class)`` scans.
        wanted: ``(split,)`` fractions.
        generator: Source of the deals.

    Returns:
        ``(fold,)`` split numbers, and the cost: mean deviation of the class shares and of the size of
        the splits, plus the cost of classes that a split lacks though the class has a fold for each.
    """
    number_of_folds, number_of_splits = len(counts), len(wanted)
    shares = _whole_shares(number_of_folds, wanted)
    deals = np.tile(np.repeat(np.arange(number_of_splits), shares), (DEALS, 1))
    deals = generator.permuted(deals, axis=1)
    totals = counts.sum(axis=0)
    enough = (counts > 0).sum(axis=0) >= number_of_splits
    cost = np.zeros(DEALS)
    for split in range(number_of_splits):
        members = (deals == split) @ counts
        by_class = np.abs(members / totals - wanted[split])
        by_size = np.abs(members.sum(axis=1) / totals.sum() - wanted[split])
        # Training must see every class; the others only where there are groups enough to share.
        needed = np.ones_like(enough) if split == 0 else enough
        cost += by_class.mean(axis=1) + by_size
        cost += MISSING_CLASS[split] * ((members == 0) & needed).sum(axis=1)
    best = int(np.argmin(cost))
    return deals[best].astype(np.int64), float(cost[best])

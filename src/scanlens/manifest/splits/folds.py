"""Nested cross-validation: every group is in one fold, and each fold is the test split of one run.

Run i of k takes fold i as test, the next one as val and the rest as train. Over all k runs every scan is
tested once, by a network and a threshold that never saw its patient.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from scanlens.config.schema import SplitConfig
from scanlens.errors import SettingsError
from scanlens.manifest.splits.deal import GroupNames, deal
from scanlens.types import IntArray

NO_FOLD = -1
"""The fold of a scan that takes part in no cross-validation."""


def check_folds(config: SplitConfig, listing: pd.DataFrame) -> None:
    """Refuse folds that these patients cannot fill.

    Args:
        config: The split's settings.
        listing: Columns patient (empty = one of its own) and label: the scans that are dealt to folds.

    Raises:
        SettingsError: A class has fewer patients than folds.

    Example:
        >>> listing = pd.DataFrame({"patient": ["p1", "p2", "p2"], "label": "nodule"})
        >>> config = SplitConfig("grouped", {"train": 0.6, "val": 0.2, "test": 0.2}, 3, 0, None, 0)
        >>> check_folds(config, listing)
        Traceback (most recent call last):
        ...
        scanlens.errors.SettingsError: class nodule has 2 patients, too few for 3 folds that each need one
        (patients with scans of identical content count as one). Lower manifest.split.folds, add patients, or
        leave the class out with data.labels.
    """
    if config.folds is None:
        return
    own = "row " + pd.Series(np.arange(len(listing)), index=listing.index).astype(str)
    _refuse_rare(listing["label"], listing["patient"].where(listing["patient"] != "", own), config.folds)


def deal_folds(scans: pd.DataFrame, groups: IntArray, folds: int, seed: int) -> IntArray:
    """Number the fold of each scan: equal in size and class ratios as far as the groups allow.

    Args:
        scans: Column label, in an order that the caller fixed.
        groups: ``(scan,)`` numbers of what must stay together.
        folds: How many.
        seed: Of the shuffling.

    Returns:
        ``(scan,)`` numbers from 0 to ``folds - 1``.

    Raises:
        SettingsError: A class is in fewer groups than there are folds.

    Example:
        >>> scans = pd.DataFrame({"label": ["normal", "nodule"] * 9})
        >>> folds = deal_folds(scans, np.arange(18), folds=3, seed=0)
        >>> pd.crosstab(folds, scans["label"]).to_numpy().tolist()  # scans a fold and class
        [[3, 3], [3, 3], [3, 3]]
    """
    _refuse_rare(scans["label"], pd.Series(groups, index=scans.index), folds)
    numbers = deal(scans["label"], groups, np.full(folds, 1 / folds), folds, seed, first_sees_all=False)
    _refuse_uneven(scans["label"].to_numpy(), numbers, folds)
    return numbers


def splits_of(numbers: IntArray, folds: int, fold: int) -> GroupNames:
    """Name the split of each scan in one run: ``fold`` is test, the next one val, the others train.

    Example:
        >>> splits_of(np.array([0, 1, 2, 3, 3]), folds=4, fold=3).tolist()
        ['val', 'train', 'train', 'test', 'test']
    """
    val = (fold + 1) % folds
    return np.select([numbers == fold, numbers == val], ["test", "val"], "train").astype(object)


def _refuse_uneven(labels: npt.NDArray[np.object_], numbers: IntArray, folds: int) -> None:
    """Refuse all runs at once where one of them would lack a class."""
    for label in sorted(set(labels)):
        absent = set(range(folds)) - set(numbers[labels == label].tolist())
        if absent:
            raise SettingsError(
                f"fold {min(absent)} of {folds} gets no scan of class {label}: its patients have "
                "too many scans of other classes as well.",
                "Lower manifest.split.folds, or set another manifest.split.seed.",
            )


def _refuse_rare(labels: pd.Series, patients: pd.Series, folds: int) -> None:
    """Every fold is a test split once: each needs a patient of each class."""
    counts = patients.groupby(labels).nunique()
    if counts.min() < folds:
        raise SettingsError(
            f"class {counts.idxmin()} has {counts.min()} patients, too few for {folds} folds that each need "
            "one (patients with scans of identical content count as one).",
            "Lower manifest.split.folds, add patients, or leave the class out with data.labels.",
        )

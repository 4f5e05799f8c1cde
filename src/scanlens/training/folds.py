"""Folds inside one run: each member validates on one of them and learns from the others.

The training and validation splits are dealt anew: classes in like shares (scikit-learn's
StratifiedGroupKFold), and the manifest's groups whole, which are scans of one patient, copies and near copies
under other names. The test split takes no part.
"""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

from scanlens.errors import SettingsError
from scanlens.types import IntArray

NO_TRAINING_FOLD = -1
"""Of scans that no member learns from or validates on."""
DEALT = ("train", "val")
"""Splits whose scans are dealt."""


def training_folds(index: pd.DataFrame, folds: int, seed: int) -> IntArray:
    """Number the fold of each scan of the training and validation splits.

    Args:
        index: Columns label, split and group; patient in place of a group that is not there. A scan without
            is one of its own.
        folds: 2 or more.
        seed: The same seed deals the same folds.

    Returns:
        ``(scan,)`` numbers from 0 to ``folds - 1``, :data:`NO_TRAINING_FOLD` for the other scans.

    Raises:
        SettingsError: Where a class has fewer patients than there are folds, or a fold would lack a class.
    """
    numbers = np.full(len(index), NO_TRAINING_FOLD, dtype=np.int64)
    rows = np.flatnonzero(index["split"].isin(DEALT))
    labels = index["label"].to_numpy(dtype=str)[rows]
    own = pd.Series([f"row {row}" for row in range(len(index))], index=index.index)
    together = index["group" if "group" in index else "patient"]
    groups = together.where(together != "", own).to_numpy(dtype=str)[rows]
    counts = pd.Series(groups).groupby(labels).nunique()
    if counts.min() < folds:
        raise SettingsError(
            f"training.folds is {folds}, but class {counts.idxmin()} has {counts.min()} patients outside the "
            "test split.",
            "Lower training.folds.",
        )
    dealer = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # It counts scans where groups were counted above.
        warnings.filterwarnings("ignore", message=".*least populated class.*")
        for number, (_, fold) in enumerate(dealer.split(rows, labels, groups)):
            numbers[rows[fold]] = number
    for number in range(folds):
        if lacking := sorted(set(labels) - set(labels[numbers[rows] == number])):
            raise SettingsError(
                f"fold {number} of {folds} gets no scan of class {lacking[0]}.",
                "Lower training.folds, or set another training.seed.",
            )
    return numbers


def descends_from(made: pd.DataFrame, scan_ids: set[str]) -> IntArray:
    """Rows of changed or made scans all of whose parents are among ``scan_ids``.

    Args:
        made: Column ``parents``: a scan_id, or several.
        scan_ids: Of the scans that may be learnt from.
    """
    kept = [{str(parent) for parent in np.atleast_1d(parents)} <= scan_ids for parents in made["parents"]]
    return np.flatnonzero(kept)

"""The split the data set itself declares, so that results compare with those others published on it."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd

from scanlens.config.schema import SplitConfig
from scanlens.errors import SettingsError
from scanlens.manifest.splits.deal import GroupNames, deal_splits
from scanlens.manifest.splits.folds import NO_FOLD, deal_folds
from scanlens.types import SPLITS, IntArray

_logger = logging.getLogger(__name__)


def check_declared(listing: pd.DataFrame) -> None:
    """Refuse a declared split that is incomplete; one that divides patients is the leakage gate's matter.

    Args:
        listing: Columns path, patient, split, and possibly problem (rows with one are not looked at).

    Raises:
        SettingsError: A row declares none of train, val and test, or there is no train or no test.

    Example:
        >>> check_declared(pd.DataFrame({"path": ["a.png", "b.png"], "split": ["train", "training"]}))
        Traceback (most recent call last):
        ...
        scanlens.errors.SettingsError: b.png: declared split 'training' is none of train, val, test (1
        scans). Fill the split column, or set data.columns.split=null to have the scans dealt.
    """
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


def official_splits(
    scans: pd.DataFrame, groups: IntArray, config: SplitConfig
) -> tuple[GroupNames, IntArray]:
    """Take the declared split, and deal by patient what it leaves open.

    Without folds a missing val is carved out of train. With folds the declared test stays test in every
    run, and train and val together are dealt to the folds, of which the one set is val.

    Args:
        scans: Columns path, patient, label, split, in an order that the caller fixed.
        groups: ``(scan,)`` numbers of what must stay together.
        config: Fractions of train and val, folds and seed.

    Returns:
        ``(scan,)`` names and fold numbers, -1 in the test split and where there are no folds.

    Raises:
        SettingsError: As :func:`check_declared`, or too few patients.

    Example:
        >>> scans = pd.DataFrame({"path": list("abcdef"), "split": ["train"] * 4 + ["test"] * 2})
        >>> config = SplitConfig("official", {"train": 0.5, "val": 0.25, "test": 0.25}, None, 0, None, 0)
        >>> splits, folds = official_splits(scans.assign(label="nodule"), np.arange(6), config)
        >>> splits[4:].tolist(), sorted(splits[:4]), folds.tolist()  # a val is carved out of train
        (['test', 'test'], ['train', 'train', 'train', 'val'], [-1, -1, -1, -1, -1, -1])
    """
    # Again, as quarantine may have emptied a split.
    check_declared(scans)
    splits = scans["split"].to_numpy(dtype=object, copy=True)
    numbers = np.full(len(scans), NO_FOLD, dtype=np.int64)
    learning = splits != "test"
    rest = scans[learning]
    rest_groups, _ = pd.factorize(groups[learning])
    if config.folds:
        numbers[learning] = deal_folds(rest, rest_groups, config.folds, config.seed)
        splits[learning] = np.where(numbers[learning] == config.fold, "val", "train")
    elif not (splits == "val").any():
        share = config.fractions["val"] / (config.fractions["train"] + config.fractions["val"])
        _logger.info("The declared split has no val: %.0f %% of train become val, by patient.", 100 * share)
        splits[learning] = deal_splits(rest, rest_groups, {"train": 1 - share, "val": share}, config.seed)
    return splits, numbers

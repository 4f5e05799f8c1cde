"""Name the split of every accepted scan, by the method set; each method but ``random`` keeps patients whole.

The same seed gives the same split whatever the order of the rows, the files' names or the pseudonym key:
scans are taken in the order of their content's hash. (``hashed`` is the exception: it hashes pseudonyms.)
"""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd

from scanlens.config.schema import SplitConfig
from scanlens.errors import SettingsError
from scanlens.manifest.splits.deal import Names, deal_splits
from scanlens.manifest.splits.folds import NO_FOLD, check_folds, deal_folds, splits_of
from scanlens.manifest.splits.groups import IntArray, Links, patient_groups
from scanlens.manifest.splits.hashed import hashed_splits
from scanlens.manifest.splits.official import check_declared, official_splits
from scanlens.manifest.splits.site import check_sites, site_splits
from scanlens.manifest.splits.temporal import temporal_splits
from scanlens.types import SPLITS

logger = logging.getLogger(__name__)


def check_split_settings(config: SplitConfig, listing: pd.DataFrame) -> None:
    """Refuse wrong settings and wrong declared splits before any scan is read.

    Args:
        config: The split's settings.
        listing: Columns path, label, patient, site, split (declared; empty = none) and problem.

    Raises:
        SettingsError: With the setting or the scan that is at fault.
    """
    usable = listing[listing["problem"] == ""]
    method = effective_method(config, usable)
    if method == "official":
        check_declared(usable)
        usable = usable[usable["split"] != "test"]
    if method == "site":
        check_sites(config, usable)
    check_folds(config, usable)


def effective_method(config: SplitConfig, listing: pd.DataFrame) -> str:
    """``official`` in place of ``grouped`` where the data declares a split, else the method set."""
    if config.method == "grouped" and (listing["split"] != "").any():
        return "official"
    return config.method


def assign_splits(scans: pd.DataFrame, config: SplitConfig, links: Links = ()) -> pd.DataFrame:
    """Name the split of each accepted scan, and its fold.

    Args:
        scans: One row a scan: path, patient, label, sha256, pixel_sha256, site, split (declared; empty =
            none) and date (text that sorts by time; empty = unknown).
        config: Method, fractions, folds and seed; see ``conf/manifest/default.yaml``.
        links: Pairs of places in ``scans``, from 0, that must stay together: near copies.

    Returns:
        Columns ``split`` and ``fold`` (-1 where there are none), indexed like ``scans``. A split is train,
        val or test, or empty with method ``site`` for a scan that must be left out
        (:data:`scanlens.manifest.splits.site.LEFT_OUT`).

    Raises:
        SettingsError: Too few patients, an empty split, or a class that training would never see.
    """
    # Groups are numbered in the order of the contents, so that pseudonyms do not change the deal.
    order = np.lexsort((scans["path"].to_numpy(dtype=str), scans["sha256"].to_numpy(dtype=str)))
    groups, _ = pd.factorize(patient_groups(scans, links)[order])
    ordered = scans.iloc[order]
    splits, folds = _assign(ordered, groups.astype(np.int64), config)
    dealt = pd.DataFrame({"split": splits, "fold": folds}, index=order).sort_index()
    dealt.index = scans.index
    check_use(scans["label"], dealt["split"])
    return dealt


def _assign(scans: pd.DataFrame, groups: IntArray, config: SplitConfig) -> tuple[Names, IntArray]:
    """Apply the method: ``(scan,)`` names and fold numbers of scans in their fixed order."""
    method = effective_method(config, scans)
    if method == "official":
        if config.method != method:
            logger.info("The data declares a split: manifest.split.method=official is used.")
        return official_splits(scans, groups, config)
    if method == "hashed":
        return hashed_splits(scans, config)
    no_folds = np.full(len(scans), NO_FOLD, dtype=np.int64)
    if method == "site":
        return site_splits(scans, groups, config), no_folds
    if method == "temporal":
        return temporal_splits(scans, groups, config), no_folds
    if method == "random":
        logger.warning(
            "manifest.split.method=random ignores patients: scans of one patient reach several "
            "splits and the test metrics are too good."
        )
        groups = np.arange(len(scans))
    if config.folds:
        folds = deal_folds(scans, groups, config.folds, config.seed)
        return splits_of(folds, config.folds, config.fold), folds
    return deal_splits(scans, groups, dict(config.fractions), config.seed), no_folds


def check_use(labels: pd.Series, splits: pd.Series) -> None:
    """Refuse a split that cannot be trained with, chosen by or tested on.

    Args:
        labels: Class of each scan.
        splits: Its split, empty for a scan in none.

    Raises:
        SettingsError: A split is empty, or training would never see a class.
    """
    empty = [name for name in SPLITS if not (splits == name).any()]
    if empty:
        raise SettingsError(
            f"no scan is in the {empty[0]} split.", "Add patients, or change manifest.split.fractions."
        )
    unseen = sorted(set(labels[splits != ""]) - set(labels[splits == "train"]))
    if unseen:
        raise SettingsError(
            f"no scan of class {unseen[0]} is in the training split.",
            "Add patients of that class, or leave it out with data.labels.",
        )

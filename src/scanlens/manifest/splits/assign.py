"""Name the split of every accepted scan, by the method set; each method but ``random`` keeps patients whole.

The same seed gives the same split whatever the order of the rows, the files' names or the pseudonym key:
scans are taken in the order of their content's hash. (``hashed`` is the exception: it hashes pseudonyms.)
"""

from __future__ import annotations

import hashlib
import logging

import numpy as np
import pandas as pd

from scanlens.config.schema import SplitConfig
from scanlens.errors import SettingsError
from scanlens.manifest.splits.deal import GroupNames, Numbers, deal_splits
from scanlens.manifest.splits.folds import NO_FOLD, check_folds, deal_folds, splits_of
from scanlens.manifest.splits.groups import Links, patient_groups
from scanlens.manifest.splits.official import check_declared, official_splits
from scanlens.manifest.splits.site import check_sites, site_splits
from scanlens.types import SPLITS, IntArray

_logger = logging.getLogger(__name__)


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
    """``official`` in place of ``grouped`` where the data declares a split, else the method set.

    Example:
        >>> config = SplitConfig("grouped", {"train": 0.6, "val": 0.2, "test": 0.2}, None, 0, None, 0)
        >>> effective_method(config, pd.DataFrame({"split": ["train", ""]}))
        'official'
        >>> effective_method(config, pd.DataFrame({"split": ["", ""]}))
        'grouped'
    """
    if config.method == "grouped" and (listing["split"] != "").any():
        return "official"
    return config.method


def assign_splits(scans: pd.DataFrame, config: SplitConfig, links: Links = ()) -> pd.DataFrame:
    """Name the split of each accepted scan, and its fold.

    Args:
        scans: One row per scan: path, patient, label, sha256, pixel_sha256, site, split (declared; empty =
            none) and date (text that sorts by time; empty = unknown).
        config: Method, fractions, folds and seed; see ``conf/manifest/default.yaml``.
        links: Pairs of places in ``scans``, from 0, that must stay together: near copies.

    Returns:
        Columns ``split`` and ``fold`` (-1 where there are none), indexed like ``scans``. A split is train,
        val or test, or empty with method ``site`` for a scan that must be left out
        (:data:`scanlens.manifest.splits.site.LEFT_OUT`).

    Raises:
        SettingsError: Too few patients, an empty split, or a class that training would never see.

    Example:
        >>> scans = pd.DataFrame({"path": list("abcdef"), "patient": list("ppqqrr"), "label": "nodule"})
        >>> scans = scans.assign(sha256=list("123456"), pixel_sha256="", split="")
        >>> config = SplitConfig("grouped", {"train": 0.34, "val": 0.33, "test": 0.33}, None, 0, None, 0)
        >>> dealt = assign_splits(scans, config)
        >>> dealt.groupby(scans["patient"])["split"].nunique().tolist(), sorted(set(dealt["split"]))
        ([1, 1, 1], ['test', 'train', 'val'])
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


def _assign(scans: pd.DataFrame, groups: IntArray, config: SplitConfig) -> tuple[GroupNames, IntArray]:
    """Apply the method: ``(scan,)`` names and fold numbers of scans in their fixed order."""
    method = effective_method(config, scans)
    if method == "official":
        if config.method != method:
            _logger.info("The data declares a split: manifest.split.method=official is used.")
        return official_splits(scans, groups, config)
    if method == "hashed":
        return _hashed_splits(scans, config)
    no_folds = np.full(len(scans), NO_FOLD, dtype=np.int64)
    if method == "site":
        return site_splits(scans, groups, config), no_folds
    if method == "temporal":
        return _temporal_splits(scans, groups, config), no_folds
    if method == "random":
        _logger.warning(
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

    Example:
        >>> check_use(pd.Series(["normal", "nodule", "normal"]), pd.Series(["train", "val", "test"]))
        Traceback (most recent call last):
        ...
        scanlens.errors.SettingsError: no scan of class nodule is in the training split. Add patients of that
        class, or leave it out with data.labels.
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


# Split by a hash of each patient: where a patient goes depends on nothing else in the data set.
#
# Scans and patients added later move no earlier one. The price: sizes and class ratios are those of chance,
# copies under two patients' names may be parted (the leakage gate then says so), and another pseudonym key
# gives another split.
def _hashed_splits(scans: pd.DataFrame, config: SplitConfig) -> tuple[GroupNames, IntArray]:
    """Deal each patient by its hash; a scan of unknown patient by its content.

    Args:
        scans: Columns patient (pseudonym; empty, or s and the scan's id, where unknown) and sha256.
        config: Fractions or folds, and seed.

    Returns:
        ``(scan,)`` names and fold numbers (-1 without folds).
    """
    numbers = hash_numbers(scans, config.seed)
    if config.folds:
        folds = np.floor(numbers * config.folds).astype(np.int64)
        return splits_of(folds, config.folds, config.fold), folds
    bounds = np.cumsum([config.fractions[name] for name in SPLITS])[:-1]
    places = np.searchsorted(bounds, numbers, side="right")
    return np.array(SPLITS, dtype=object)[places], np.full(len(scans), NO_FOLD, dtype=np.int64)


def hash_numbers(scans: pd.DataFrame, seed: int) -> Numbers:
    """Hash each scan's patient (or content) and the seed to a number in [0, 1): ``(scan,)``.

    Example:
        >>> scans = pd.DataFrame({"patient": ["p1", "p2", "p1"], "sha256": ["h1", "h2", "h3"]})
        >>> one, other, again = hash_numbers(scans, seed=0)
        >>> bool(one == again), bool(one == other), bool(0 <= one < 1)
        (True, False, True)
    """
    # A repetition's patient is s, the id and a running number: only the content says that it is one.
    unknown = (scans["patient"] == "") | (scans["patient"].str[:17] == "s" + scans["sha256"].str[:16])
    keys = scans["patient"].where(~unknown, scans["sha256"])
    return np.array([_hash_number(f"{seed} {key}") for key in keys], dtype=np.float64)


def _hash_number(text: str) -> float:
    # 53 bits are what a double holds exactly: all 64 could round up to 1.
    return (int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 11) / 2**53


# Split by time, as a network is used: it learns from the past and is tested on the patients who come after.
#
# Dates are identifying: they are compared in memory, and no message names one.
_REMEDY = (
    "Name the column of the dates with data.columns.date and fill it (DICOM files bring their own), "
    "or choose another method."
)


def _temporal_splits(scans: pd.DataFrame, groups: IntArray, config: SplitConfig) -> GroupNames:
    """Deal the groups by the date of their last scan: the newest to test, the next to val, the rest to train.

    A patient's scans stay together, so test may hold old scans of a patient who came back; every scan of
    train is older than the last scan of any patient of val and test. Patients of one last date stay in one
    split, so that coarse dates (years) make the sizes coarse.

    Args:
        scans: Column date: text that sorts by time, empty where unknown.
        groups: ``(scan,)`` numbers of what must stay together.
        config: Fractions.

    Returns:
        ``(scan,)`` names; each split occurs.

    Raises:
        SettingsError: A scan has no date, or the groups have fewer than three different last dates.
    """
    unknown = int((scans["date"] == "").sum())
    if unknown:
        raise SettingsError(
            f"manifest.split.method=temporal: {unknown} of {len(scans)} scans have no date.", _REMEDY
        )
    last = scans["date"].groupby(groups).transform("max")
    # Newest first: the number of its date, and how many scans are of that date or newer.
    order, _ = pd.factorize(-last.rank(method="dense"), sort=True)
    newest = np.bincount(order).cumsum()
    if len(newest) < 3:
        raise SettingsError(
            f"manifest.split.method=temporal: the patients' last scans are of {len(newest)} different dates, "
            "train, val and test need one each.",
            _REMEDY,
        )
    wanted = len(scans) * config.fractions["test"]
    test = 1 + int(np.argmin(np.abs(newest[:-2] - wanted)))
    wanted += len(scans) * config.fractions["val"]
    val = test + 1 + int(np.argmin(np.abs(newest[test:-1] - wanted)))
    return np.select([order < test, order < val], ["test", "val"], "train").astype(object)

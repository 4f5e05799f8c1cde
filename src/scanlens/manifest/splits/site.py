"""Leave one site out: the test split is a hospital that training never saw.

A patient who was at the site left out and elsewhere too may be in one split only. The scans from elsewhere
then go to no split: in train they would show the network a test patient, and in test they would not be of
the site that the result is said to hold for.
"""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd

from scanlens.config.schema import SplitConfig
from scanlens.errors import SettingsError
from scanlens.manifest.splits.deal import GroupNames, deal_splits
from scanlens.types import IntArray

LEFT_OUT = "left out: its patient, or a copy of it, is also at the test site"
"""The status of a scan that the split leaves out; its split is empty."""

_logger = logging.getLogger(__name__)


def check_sites(config: SplitConfig, listing: pd.DataFrame) -> None:
    """Refuse to leave out a site that cannot be told.

    Args:
        config: The site to leave out, or its number in ``fold``.
        listing: Column site, and possibly problem (rows with one are not looked at).

    Raises:
        SettingsError: No scan or not every scan has a site, there is only one, or none is called as set.

    Example:
        >>> fractions = {"train": 0.6, "val": 0.2, "test": 0.2}
        >>> check_sites(SplitConfig("site", fractions, None, 0, None, 0), pd.DataFrame({"site": ["A", ""]}))
        Traceback (most recent call last):
        ...
        scanlens.errors.SettingsError: manifest.split.method=site: 1 of 2 scans name no site. Name the column
        of the sites with data.columns.site and fill it, or choose another method.
    """
    usable = listing[listing["problem"] == ""] if "problem" in listing else listing
    unknown = int((usable["site"] == "").sum())
    if unknown:
        raise SettingsError(
            f"manifest.split.method=site: {unknown} of {len(usable)} scans name no site.",
            "Name the column of the sites with data.columns.site and fill it, or choose another method.",
        )
    _test_site(config, usable["site"])


def _test_site(config: SplitConfig, sites: pd.Series) -> str:
    """Return the site to leave out: the one set, or the one of number ``fold`` in alphabetical order.

    Raises:
        SettingsError: There are fewer than two sites, or none of that name or number.
    """
    known = sorted(set(sites))
    listed = ", ".join(known[:20]) + (f" and {len(known) - 20} more" if len(known) > 20 else "")
    if len(known) < 2:
        raise SettingsError(
            f"manifest.split.method=site needs two sites, there is only {listed or 'none'}.",
            "Choose another method.",
        )
    if config.site is not None:
        if config.site not in known:
            raise SettingsError(
                f"manifest.split.site: there is no site {config.site!r}.", f"The sites are {listed}."
            )
        return config.site
    if config.fold >= len(known):
        raise SettingsError(
            f"manifest.split.fold is {config.fold}, but the last of {len(known)} sites is {len(known) - 1}.",
            f"Set manifest.split.site to one of {listed}.",
        )
    return known[config.fold]


def site_splits(scans: pd.DataFrame, groups: IntArray, config: SplitConfig) -> GroupNames:
    """Leave a site out as test, and deal the patients of the others to train and val.

    Args:
        scans: Columns site and label, in an order that the caller fixed.
        groups: ``(scan,)`` numbers of what must stay together.
        config: Site or its number, fractions of train and val, seed.

    Returns:
        ``(scan,)`` names; empty for scans at other sites of groups that are at the test site too.

    Raises:
        SettingsError: As :func:`check_sites`, or too few patients at the other sites.

    Example:
        >>> scans = pd.DataFrame({"site": list("AAABBBBB"), "label": ["normal", "nodule"] * 4})
        >>> config = SplitConfig("site", {"train": 0.5, "val": 0.25, "test": 0.25}, None, 0, "A", 0)
        >>> splits = site_splits(scans, np.array([0, 1, 2, 2, 3, 4, 5, 6]), config)
        >>> splits[:4].tolist(), sorted(set(splits[4:]))  # the fourth scan is of a patient of site A
        (['test', 'test', 'test', ''], ['train', 'val'])
    """
    check_sites(config, scans)
    left_out = _test_site(config, scans["site"])
    _logger.info("The test split is site %s.", left_out)
    test = (scans["site"] == left_out).to_numpy()
    shared = np.isin(groups, groups[test]) & ~test
    if shared.any():
        _logger.warning(
            "%d scans at other sites are in no split: their patients, or copies of them, are at site %s too.",
            shared.sum(),
            left_out,
        )
    splits = np.full(len(scans), "", dtype=object)
    splits[test] = "test"
    rest = ~test & ~shared
    rest_groups, _ = pd.factorize(groups[rest])
    share = config.fractions["val"] / (config.fractions["train"] + config.fractions["val"])
    splits[rest] = deal_splits(scans[rest], rest_groups, {"train": 1 - share, "val": share}, config.seed)
    return splits

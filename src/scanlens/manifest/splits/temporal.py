"""Split by time, as a network is used: it learns from the past and is tested on the patients who come after.

Dates are identifying: they are compared in memory, and no message names one.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from scanlens.config.schema import SplitConfig
from scanlens.errors import SettingsError
from scanlens.manifest.splits.deal import Names
from scanlens.manifest.splits.groups import IntArray

_REMEDY = (
    "Name the column of the dates with data.columns.date and fill it (DICOM files bring their own), "
    "or choose another method."
)


def temporal_splits(scans: pd.DataFrame, groups: IntArray, config: SplitConfig) -> Names:
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

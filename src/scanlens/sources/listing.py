"""Listing a data set: which scans there are and what is said about each, before any is opened."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from scanlens.config.schema import Data
from scanlens.errors import SettingsError
from scanlens.sources.columns import LISTING_COLUMNS
from scanlens.sources.folder import list_folder
from scanlens.sources.labels import ordered_labels, resolve_task
from scanlens.sources.medmnist import list_npz
from scanlens.sources.table import list_table

_NAMED = 3  # patients an error message names before it says how many more there are
_LISTERS = {"folder": list_folder, "table": list_table, "phantom": list_table, "medmnist": list_npz}


def list_scans(data: Data, root: Path) -> pd.DataFrame:
    """List the scans of a data set and check everything about it that needs no scan opened.

    Args:
        data: What the data set is. Kind ``phantom`` is listed as ``table`` is, from the table it wrote.
        root: The data root as a folder, or the MedMNIST file.

    Returns:
        One row a scan, sorted by path, with the columns of :data:`~scanlens.sources.columns.LISTING_COLUMNS`.

    Raises:
        SettingsError: The root does not exist, a table, column or label is wrong, a class is empty, or a
            patient is in two declared splits.
    """
    if not root.exists():
        raise SettingsError(
            f"The data root {root} does not exist.", "Set data.root to the folder that holds the scans."
        )
    listing = _LISTERS[data.kind](data, root)[list(LISTING_COLUMNS)]
    resolve_task(data, ordered_labels(data, listing))
    _refuse_shared_patients(listing)
    return listing.sort_values("path", kind="stable", ignore_index=True)


def _refuse_shared_patients(listing: pd.DataFrame) -> None:
    declared = listing[(listing["patient"] != "") & (listing["split"] != "")]
    splits = declared.groupby("patient")["split"].nunique()
    shared = sorted(splits[splits > 1].index)
    if shared:
        more = f" and {len(shared) - _NAMED} more" if len(shared) > _NAMED else ""
        raise SettingsError(
            f"{len(shared)} patients are in two declared splits: {', '.join(shared[:_NAMED])}{more}.",
            "Correct the split column, or set data.columns.split to null to have patients split here.",
        )

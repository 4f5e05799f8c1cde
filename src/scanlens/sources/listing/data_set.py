"""Listing a data set: which scans there are and what is said about each, before any is opened."""

from __future__ import annotations

import itertools
from pathlib import Path

import pandas as pd

from scanlens.config.schema import Data
from scanlens.errors import SettingsError
from scanlens.privacy.aliases import record_aliases
from scanlens.privacy.pseudonym import load_key
from scanlens.sources.listing.columns import FURTHER, LISTING_COLUMNS, MASKS
from scanlens.sources.listing.folder import list_folder
from scanlens.sources.listing.table import list_table
from scanlens.sources.readers.medmnist import list_npz
from scanlens.tasks import task_of

_LISTERS = {"folder": list_folder, "table": list_table, "phantom": list_table, "medmnist": list_npz}


def list_scans(data: Data, root: Path, *, aliases: bool = False) -> pd.DataFrame:
    """List the scans of a data set and check everything about it that needs no scan opened.

    Args:
        data: What the data set is. Kind ``phantom`` is listed as ``table`` is, from the table it wrote.
        root: The data root as a folder, or the MedMNIST file.
        aliases: Whether scans and masks are named by aliases, whose book is written as soon as the
            listing is: refusals before that name real files and folders, later ones aliases.

    Returns:
        One row a scan, sorted by path, with the columns of :data:`~scanlens.sources.listing.columns.LISTING_COLUMNS`
        and, of a table, its further columns, anonymous, their names behind
        :data:`~scanlens.sources.listing.columns.FURTHER`.

    Raises:
        SettingsError: The root does not exist, a table, column or label is wrong, or a class is empty.
    """
    if not root.exists():
        raise SettingsError(
            f"The data root {root} does not exist.", "Set data.root to the folder that holds the scans."
        )
    task = task_of(data.task)
    task.check_settings(data)
    listing = task.clean(_LISTERS[data.kind](data, root))
    # By the real path even under aliases, whose order depends on a key: splits should not.
    listing = listing.sort_values("path", kind="stable", ignore_index=True)
    if aliases:
        listing = _aliased(listing)
    task.resolved(task.label_names(data, listing))
    further = [column for column in listing.columns if column.startswith(FURTHER)]
    return listing[[*LISTING_COLUMNS, *further]]


def _aliased(listing: pd.DataFrame) -> pd.DataFrame:
    masks = listing["mask"].str.split(MASKS)
    alias = record_aliases({*listing["path"], *itertools.chain.from_iterable(masks)}, load_key())
    return listing.assign(
        path=[alias.get(path, "") for path in listing["path"]],
        mask=[MASKS.join(alias.get(mask, "") for mask in several) for several in masks],
    )

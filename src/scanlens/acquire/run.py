"""The acquire stage: list the data set, take what is wanted of it, and write down what it is."""

from __future__ import annotations

import itertools
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from scanlens.acquire.medmnist_sums import altered_copy
from scanlens.acquire.sample import sample_scans
from scanlens.atomic import replacing, write_json
from scanlens.config.schema import Acquire, Data
from scanlens.errors import SettingsError
from scanlens.phantom.cohort import write_phantoms
from scanlens.privacy.aliases import record_aliases
from scanlens.privacy.pseudonym import load_key
from scanlens.scaling.engine import IN_PROCESS, Engine
from scanlens.sources.acquired import HERE, LISTING, METADATA, SOURCE
from scanlens.sources.listing.columns import FURTHER, LISTING_COLUMNS, MASKS, Tell
from scanlens.sources.listing.folder import list_folder
from scanlens.sources.listing.medmnist import list_npz, npz_file
from scanlens.sources.listing.table import NEAREST, list_table
from scanlens.tasks import task_of

_logger = logging.getLogger(__name__)
_PHANTOM_TABLE = "labels.csv"


def acquire(data: Data, config: Acquire, output: Path, engine: Engine = IN_PROCESS) -> dict[str, Any]:
    """Write ``listing.parquet`` and ``source.json`` (and for phantoms the scans themselves) into a folder.

    ``source.json`` holds ``kind``, ``root`` (as the settings give it; for phantoms
    :data:`~scanlens.sources.acquired.HERE`), ``labels`` in order, ``dims``, the resolved ``task``, and
    ``header_patients``: whether a patient the listing does not name may be taken from the scan's header
    (false where ``data.columns.patient`` is null). What else a label table says goes into
    ``metadata.parquet``, made anonymous, row by row of the listing.

    Args:
        data: The data set.
        config: How much of it to take.
        output: The stage's folder; made where it does not exist.
        engine: Where phantoms are drawn.

    Returns:
        Facts for the stage's report: counts of scans, unusable rows, classes, patients, sites and splits,
        and ``warnings``, a list of sentences.

    Raises:
        SettingsError: Whatever :func:`scanlens.acquire.run.list_scans` refuses; nothing is written then.
    """
    root = Path(data.root).expanduser()
    if data.phantom is not None and data.kind == "phantom":
        output.mkdir(parents=True, exist_ok=True)
        write_phantoms(data.phantom, output, config.seed, engine)
        root, data = output, replace(data, root=output.as_posix(), table=_PHANTOM_TABLE)
    warnings: list[str] = []
    try:
        listing = list_scans(data, root, aliases=config.paths == "alias", tell=warnings.append)
    except SettingsError:
        for warning in warnings:  # which may say why
            _logger.warning(warning)
        raise
    task = task_of(data.task)
    labels = task.label_names(data, listing)
    unusable = int((listing["problem"] != "").sum())
    if config.limit is not None:
        listing = sample_scans(listing, config.limit, config.seed, task)
    source = {
        "kind": data.kind,
        "root": HERE if data.kind == "phantom" else data.root,
        "labels": labels,
        "dims": data.dims,
        "task": task.resolved(labels).name,
        "header_patients": data.columns.patient is not None,
    }
    output.mkdir(parents=True, exist_ok=True)
    with replacing(output / LISTING) as temporary:
        listing[list(LISTING_COLUMNS)].to_parquet(temporary, index=False)
    further = listing.drop(columns=list(LISTING_COLUMNS))
    if len(further.columns):
        with replacing(output / METADATA) as temporary:
            further.rename(columns=lambda name: name.removeprefix(FURTHER)).to_parquet(temporary, index=False)
    write_json(output / SOURCE, source)
    return {
        "kind": data.kind,
        "scans": len(listing),
        "unusable": unusable,
        "classes": task.count(listing, labels),
        "patients": int(listing.loc[listing["patient"] != "", "patient"].nunique()),
        "sites": _counts(listing["site"]),
        "splits": _counts(listing["split"]),
        "warnings": warnings,
    }


def _counts(column: pd.Series) -> dict[str, int]:
    known = column[column != ""]
    return {str(value): int(count) for value, count in known.value_counts().sort_index().items()}


def _list_medmnist(data: Data, root: Path, tell: Tell) -> pd.DataFrame:
    listing = list_npz(data, root)
    if warning := altered_copy(npz_file(data, root)):
        tell(f"{warning}.")
    return listing


# Listing a data set: which scans there are and what is said about each, before any is opened.
_LISTERS = {"folder": list_folder, "table": list_table, "phantom": list_table, "medmnist": _list_medmnist}


def list_scans(
    data: Data, root: Path, *, aliases: bool = False, tell: Tell = _logger.warning
) -> pd.DataFrame:
    """List the scans of a data set and check everything about it that needs no scan opened.

    Args:
        data: What the data set is. Kind ``phantom`` is listed as ``table`` is, from the table it wrote.
        root: The data root as a folder, or the MedMNIST file.
        aliases: Whether scans and masks are named by aliases, whose book is written as soon as the
            listing is: refusals before that name real files and folders, later ones aliases.
        tell: Told, in sentences without paths and patients, what was taken for what.

    Returns:
        One row per scan, sorted by path, with the columns of
        :data:`~scanlens.sources.listing.columns.LISTING_COLUMNS` and, of a table, its further columns,
        anonymous, their names behind
        :data:`~scanlens.sources.listing.columns.FURTHER`.

    Raises:
        SettingsError: The root does not exist, a table, column or label is wrong, or a class is empty.
    """
    if not root.exists():
        raise SettingsError(
            f"The data root {root} does not exist.", "Set data.root to the folder that holds the scans."
        )
    task = task_of(data.task)
    listing = task.clean(_LISTERS[data.kind](data, root, tell))
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
        problem=listing["problem"].str.partition(NEAREST)[0],
    )

"""The acquire stage: list the data set, take what is wanted of it, and write down what it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from scanlens.acquire.medmnist_sums import altered_copy
from scanlens.acquire.sample import sample_scans
from scanlens.atomic import replacing, write_json
from scanlens.config.schema import Acquire, Data
from scanlens.phantom.cohort import write_phantoms
from scanlens.sources.acquired import HERE, LISTING, METADATA, SOURCE
from scanlens.sources.listing.columns import FURTHER, LISTING_COLUMNS
from scanlens.sources.listing.data_set import list_scans
from scanlens.sources.listing.labels import ordered_labels, resolve_task
from scanlens.sources.listing.medmnist import npz_file

_PHANTOM_TABLE = "labels.csv"


def acquire(data: Data, config: Acquire, output: Path) -> dict[str, Any]:
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

    Returns:
        Facts for the stage's report: counts of scans, unusable rows, classes, patients, sites and splits,
        and ``warnings``, a list of sentences.

    Raises:
        SettingsError: Whatever :func:`scanlens.sources.listing.data_set.list_scans` refuses; nothing is
            written then.
    """
    root = Path(data.root).expanduser()
    if data.phantom is not None and data.kind == "phantom":
        output.mkdir(parents=True, exist_ok=True)
        write_phantoms(data.phantom, output, config.seed)
        root, data = output, replace(data, root=output.as_posix(), table=_PHANTOM_TABLE)
    listing = list_scans(data, root, aliases=config.paths == "alias")
    labels = ordered_labels(data, listing)
    unusable = int((listing["problem"] != "").sum())
    if config.limit is not None:
        listing = sample_scans(listing, config.limit, config.seed, numbers=data.task == "regression")
    source = {
        "kind": data.kind,
        "root": HERE if data.kind == "phantom" else data.root,
        "labels": labels,
        "dims": data.dims,
        "task": resolve_task(data, labels),
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
        "classes": _counts_of(listing, labels, data.task),
        "patients": int(listing.loc[listing["patient"] != "", "patient"].nunique()),
        "sites": _counts(listing["site"]),
        "splits": _counts(listing["split"]),
        "warnings": _warnings(data, root),
    }


def _counts_of(listing: pd.DataFrame, labels: list[str], task: str) -> dict[str, int]:
    """Scans of each class; of numbers the scans that can be used."""
    if task == "regression":
        return {labels[0]: int((listing["problem"] == "").sum())}
    return {label: int((listing["label"] == label).sum()) for label in labels}


def _warnings(data: Data, root: Path) -> list[str]:
    if data.kind != "medmnist":
        return []
    warning = altered_copy(npz_file(data, root))
    return [f"{warning}."] if warning else []


def _counts(column: pd.Series) -> dict[str, int]:
    known = column[column != ""]
    return {str(value): int(count) for value, count in known.value_counts().sort_index().items()}

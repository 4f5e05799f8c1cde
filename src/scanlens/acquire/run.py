"""The acquire stage: list the data set, take what is wanted of it, and write down what it is."""

from __future__ import annotations

import json
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
from scanlens.sources.listing.columns import FURTHER, LISTING_COLUMNS
from scanlens.sources.listing.data_set import list_scans
from scanlens.sources.readers.medmnist import npz_file
from scanlens.tasks import task_of

HERE = "."
"""Root of a data set whose scans lie in the stage's own folder, wherever that is moved."""
_PHANTOM_TABLE = "labels.csv"
_METADATA = "metadata.parquet"


def acquire(data: Data, config: Acquire, output: Path) -> dict[str, Any]:
    """Write ``listing.parquet`` and ``source.json`` (and for phantoms the scans themselves) into a folder.

    ``source.json`` holds ``kind``, ``root`` (as the settings give it; for phantoms :data:`HERE`),
    ``labels`` in order, ``dims``, the resolved ``task``, and ``header_patients``: whether a patient the
    listing does not name may be taken from the scan's header (false where ``data.columns.patient`` is null).
    What else a label table says goes into ``metadata.parquet``, made anonymous, row by row of the listing.

    Args:
        data: The data set.
        config: How much of it to take.
        output: The stage's folder; made where it does not exist.

    Returns:
        Facts for the stage's report: counts of scans, unusable rows, classes, patients, sites and splits,
        and ``warnings``, a list of sentences.

    Raises:
        SettingsError: Whatever :func:`scanlens.sources.listing.data_set.list_scans` refuses; nothing is written then.
    """
    root = Path(data.root).expanduser()
    if data.kind == "phantom":
        if data.phantom is None:
            raise SettingsError("data.kind is phantom but data.phantom is null.", "Choose data=phantom.")
        output.mkdir(parents=True, exist_ok=True)
        write_phantoms(data.phantom, output, config.seed)
        root, data = output, replace(data, root=output.as_posix(), table=_PHANTOM_TABLE)
    listing = list_scans(data, root, aliases=config.paths == "alias")
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
    with replacing(output / "listing.parquet") as temporary:
        listing[list(LISTING_COLUMNS)].to_parquet(temporary, index=False)
    further = listing.drop(columns=list(LISTING_COLUMNS))
    if len(further.columns):
        with replacing(output / _METADATA) as temporary:
            further.rename(columns=lambda name: name.removeprefix(FURTHER)).to_parquet(temporary, index=False)
    write_json(output / "source.json", source)
    return {
        "kind": data.kind,
        "scans": len(listing),
        "unusable": unusable,
        "classes": task.count(listing, labels),
        "patients": int(listing.loc[listing["patient"] != "", "patient"].nunique()),
        "sites": _counts(listing["site"]),
        "splits": _counts(listing["split"]),
        "warnings": _warnings(data, root),
    }


def read_source(folder: Path) -> tuple[Path, dict[str, Any]]:
    """The data root and the description that :func:`acquire` wrote into ``folder``."""
    source: dict[str, Any] = json.loads((folder / "source.json").read_text(encoding="utf-8"))
    root = folder if source["root"] == HERE else Path(source["root"]).expanduser()
    return root, source


def read_metadata(folder: Path) -> pd.DataFrame | None:
    """What else the label table says, in the listing's order (:mod:`scanlens.sources.listing.metadata`); or None."""
    path = folder / _METADATA
    return pd.read_parquet(path) if path.is_file() else None


def _warnings(data: Data, root: Path) -> list[str]:
    if data.kind != "medmnist":
        return []
    warning = altered_copy(npz_file(data, root))
    return [f"{warning}."] if warning else []


def _counts(column: pd.Series) -> dict[str, int]:
    known = column[column != ""]
    return {str(value): int(count) for value, count in known.value_counts().sort_index().items()}

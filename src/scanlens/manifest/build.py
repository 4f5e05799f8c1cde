"""Read every scan of a listing once, check it, deal it to a split, and look for leaks between the splits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from tqdm import tqdm

from scanlens.config.schema import Leakage, Manifest
from scanlens.manifest.checks import contradictions, set_problems
from scanlens.manifest.collect import Notes, collect, metadata_table
from scanlens.manifest.columns import OK, check_columns
from scanlens.manifest.examine import Examined, Examiner
from scanlens.manifest.gate.giveaways import Shortcut, find_shortcuts
from scanlens.manifest.gate.leakage import Leak, find_leaks
from scanlens.manifest.gate.quarantine import copies_across_splits, near_contradictions
from scanlens.manifest.near_copies.find import Pair, near_copies
from scanlens.manifest.near_copies.thumbnails import SIDE, picture
from scanlens.manifest.splits.assign import assign_splits, check_split_settings, check_use
from scanlens.manifest.splits.groups import group_names
from scanlens.manifest.splits.site import LEFT_OUT
from scanlens.privacy.pseudonym import load_key
from scanlens.scaling.engine import IN_PROCESS, Engine, Failed, Limits, map_ordered
from scanlens.sources.read import read_scan
from scanlens.tasks import Task, task_of
from scanlens.types import FloatArray

THUMBNAILS = "thumbnails.npy"

_Thumbnails = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Built:
    """What the manifest stage finds out.

    Attributes:
        manifest: The columns of :data:`scanlens.manifest.columns.COLUMNS`, in the listing's order.
        thumbnails: uint8, ``(row, 64, 64)``; zeros for scans that were not read.
        leaks: What two splits share, and contradictions; not judged yet.
        shortcuts: Metadata that give the label away; not judged yet.
        warnings: Sentences about the set.
        strata: ``(row,)`` what is counted and dealt in like shares: the label, or the quantile bin of a
            number.
    """

    manifest: pd.DataFrame
    thumbnails: _Thumbnails
    leaks: list[Leak]
    shortcuts: list[Shortcut]
    warnings: list[str]
    strata: pd.Series


def build_manifest(
    listing: pd.DataFrame,
    root: Path,
    source: dict[str, Any],
    config: Manifest,
    *,
    engine: Engine = IN_PROCESS,
    output: Path | None = None,
    metadata: pd.DataFrame | None = None,
) -> Built:
    """Build the manifest: each row of the listing once, accepted with its split or quarantined with a reason.

    Args:
        listing: One row per scan: :data:`scanlens.sources.listing.columns.LISTING_COLUMNS`.
        root: The data root that the paths are relative to.
        source: ``kind``, ``dims`` and ``labels`` of the data set; ``header_patients`` false where no patient
            may be taken from the files.
        config: Checks, split and gate.
        engine: Where the scans are read.
        output: Folder that receives ``thumbnails.npy`` as it grows; None keeps them in memory.
        metadata: What else the label table says of each scan, in the listing's order: looked at for
            shortcuts.

    Raises:
        SettingsError: Wrong split settings, a class without an accepted scan, or too few patients.
    """
    task = _task(source)
    strata = _strata(listing, listing["problem"] == "", task)
    check_split_settings(config.split, listing.assign(label=strata))
    examiner = Examiner(
        root,
        source["kind"],
        source["dims"],
        config.checks,
        config.burned_in,
        source.get("header_patients", True),
        load_key(),
    )
    thumbnails = _room(len(listing), output)
    manifest, notes = collect(_examined(listing, examiner, engine), len(listing), thumbnails)
    warnings = notes.patient_warnings() + notes.doubt_warnings()
    pairs = _settle_contradictions(manifest, thumbnails, root, source, config)
    strata = _strata(manifest, manifest["status"] == OK, task)
    _deal(manifest, listing, strata, notes, pairs, config)
    if pairs:
        warnings.append(f"{len(pairs)} pairs of scans are near copies of each other.")
    if copies := _set_aside(manifest, copies_across_splits(manifest, pairs, config.leakage)):
        warnings.append(f"{copies} copies of scans in another split are quarantined.")
    _check_labels(manifest, source)
    check_use(strata[manifest["status"] == OK], manifest["split"][manifest["status"] == OK])
    check_columns(manifest)
    shortcuts = _shortcuts(manifest, strata, notes, metadata, config.leakage)
    return Built(
        manifest,
        thumbnails,
        find_leaks(manifest, pairs, _tolerance(manifest, source)),
        shortcuts,
        warnings + set_problems(manifest, task),
        strata,
    )


def _task(source: dict[str, Any]) -> Task:
    return task_of(source.get("task", "multiclass"))


def _strata(table: pd.DataFrame, usable: pd.Series, task: Task) -> pd.Series:
    """What to deal in like shares; of numbers the bins among the usable rows, and nothing for the others."""
    if task.has_classes:
        return table["label"]
    strata = pd.Series("", index=table.index, dtype=object)
    strata[usable] = task.strata(table.loc[usable, "label"])
    return strata


def _tolerance(manifest: pd.DataFrame, source: dict[str, Any]) -> float | None:
    return _task(source).tolerance(manifest.loc[manifest["status"] == OK, "label"])


def _settle_contradictions(
    manifest: pd.DataFrame, thumbnails: _Thumbnails, root: Path, source: dict[str, Any], config: Manifest
) -> list[Pair]:
    """Quarantine scans that contradict each other, if the settings want it; return the near copies."""
    quarantined = config.leakage.contradictions == "quarantine"
    tolerance = _tolerance(manifest, source)
    if quarantined:
        for index, reason in contradictions(manifest, tolerance).items():
            manifest.loc[index, "status"] = reason
    _check_labels(manifest, source)
    pairs = _near_copies(manifest, thumbnails, root, source["dims"], config)
    if quarantined and _set_aside(manifest, near_contradictions(manifest, pairs, tolerance)):
        _check_labels(manifest, source)
    return pairs


def _set_aside(manifest: pd.DataFrame, reasons: dict[int, str]) -> int:
    """Put rows into quarantine, and say how many."""
    for row, reason in reasons.items():
        manifest.loc[row, ["status", "split", "group"]] = [reason, "", ""]
        manifest.loc[row, "fold"] = -1
    return len(reasons)


def _deal(
    manifest: pd.DataFrame,
    listing: pd.DataFrame,
    strata: pd.Series,
    notes: Notes,
    pairs: list[Pair],
    config: Manifest,
) -> None:
    """Fill in split, fold and group of the accepted scans; near copies stay together."""
    accepted = manifest["status"] == OK
    rows = np.flatnonzero(accepted)
    place = {int(row): number for number, row in enumerate(rows)}
    links = [
        (place[one.first], place[one.second]) for one in pairs if {one.first, one.second} <= place.keys()
    ]
    dates = listing["date"].iloc[rows].tolist()
    if not any(dates):
        # Never a mixture: the table's places in time and a header's date do not compare.
        dates = [notes.dates[row] for row in rows]
    declared = listing["split"].to_numpy()[rows]
    scans = manifest[accepted].assign(split=declared, date=dates, label=strata[accepted])
    dealt = assign_splits(scans, config.split, links)
    manifest.loc[accepted, ["split", "fold"]] = dealt[["split", "fold"]]
    # Named by content, so that neither pseudonyms nor the order of the rows change a later deal.
    manifest.loc[accepted, "group"] = group_names(scans, links)
    left_out = dealt.index[dealt["split"] == ""]
    manifest.loc[left_out, ["status", "group"]] = [LEFT_OUT, ""]


def _room(rows: int, output: Path | None) -> _Thumbnails:
    shape = (rows, SIDE, SIDE)
    if output is None or not rows:
        return np.zeros(shape, dtype=np.uint8)
    return np.lib.format.open_memmap(output / THUMBNAILS, mode="w+", dtype=np.uint8, shape=shape)


def _examined(listing: pd.DataFrame, examiner: Examiner, engine: Engine) -> Iterator[Examined]:
    limits = Limits(examiner.checks.timeout_s, examiner.checks.max_memory_mib)
    rows = [{str(name): str(value) for name, value in row.items()} for row in listing.to_dict("records")]
    results = map_ordered(examiner, rows, engine=engine, limits=limits, total=len(rows))
    for row, result in zip(rows, tqdm(results, total=len(rows), desc="manifest", unit="scan"), strict=True):
        yield examiner.unread(row, result.reason) if isinstance(result, Failed) else result


def _near_copies(
    manifest: pd.DataFrame, thumbnails: _Thumbnails, root: Path, dims: int, config: Manifest
) -> list[Pair]:
    """Pairs of accepted scans that are near copies, by their rows in the manifest."""
    if config.leakage.near_copies == "off":
        return []
    paths = manifest["path"].to_numpy()

    def reread(row: int) -> FloatArray:
        return picture(read_scan(root, paths[row], dims=dims, max_pixels=config.checks.max_pixels).pixels)

    accepted = np.flatnonzero(manifest["status"] == OK).tolist()
    minimum = config.leakage.near_correlation
    return near_copies(thumbnails, minimum=minimum, rows=accepted, reread=reread, progress=True)


def _shortcuts(
    manifest: pd.DataFrame,
    strata: pd.Series,
    notes: Notes,
    metadata: pd.DataFrame | None,
    leakage: Leakage,
) -> list[Shortcut]:
    if leakage.shortcuts == "off":
        return []
    table = metadata_table(manifest, notes, metadata)
    known = manifest.loc[table.index]
    return find_shortcuts(table, strata.loc[table.index], known["patient"], leakage.shortcut_accuracy)


def _check_labels(manifest: pd.DataFrame, source: dict[str, Any]) -> None:
    """Refuse a manifest whose accepted scans are too few to learn from."""
    _task(source).check_accepted(manifest, (manifest["status"] == OK).to_numpy(), source["labels"])

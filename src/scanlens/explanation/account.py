"""The whole account of the maps of a test split: drawn, written out, put to the test, and probed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scanlens.config.schema import Explanation
from scanlens.explanation.neighbours import nearest_training
from scanlens.explanation.number_run import VALUES, explain_numbers
from scanlens.explanation.ranking import pictured_rows
from scanlens.explanation.run import Aids, explain
from scanlens.map_scores import facts as score_facts
from scanlens.map_scores.run import score_maps
from scanlens.maps.export import write_maps
from scanlens.maps.files import MAPS
from scanlens.maps.geometry import geometry_reader
from scanlens.maps.masks import mask_reader
from scanlens.maps.pointing import tracked_scores
from scanlens.methods.field import field_of
from scanlens.models.ensemble import Network, is_linear
from scanlens.models.predict import local_logits
from scanlens.shortcuts.run import probe_shortcuts

if TYPE_CHECKING:
    from scanlens.preprocess.store import Store
    from scanlens.scaling.device import Machine

FILES = "files"
"""Folder of the maps on the scans' own pixels."""
SHORTCUTS = "shortcuts"
"""Folder of what the probes drew."""


@dataclasses.dataclass(frozen=True)
class Inputs:
    """What the stages before left.

    Attributes:
        store: The preprocessed scans.
        folder: The store's folder.
        root: Of the raw data; scans and masks are read again where their geometry is needed.
        network: Trained.
        statistics: That it was trained with.
        scale: Mean and standard deviation of the training labels; used for task ``regression``.
        predictions: Evaluation's table.
        temperature: The calibration's; not used for task ``regression``.
    """

    store: Store
    folder: Path
    root: Path
    network: Network
    statistics: dict[str, object]
    scale: tuple[float, float]
    predictions: pd.DataFrame
    temperature: Callable[[], float]


def give_account(inputs: Inputs, config: Explanation, machine: Machine, output: Path) -> dict[str, Any]:
    """Everything the explanation stage finds out.

    Args:
        inputs: Of the stages before.
        config: Section ``explanation``.
        machine: Device and batch size.
        output: Receives what :func:`scanlens.explanation.run.explain` writes, the folders :data:`FILES` and
            :data:`SHORTCUTS`, and the figures of the scores.

    Returns:
        Facts for ``explanation.json``: those of ``explain``, ``files``, ``map_scores`` (a sample's, with
        controls and intervals) and ``shortcuts``; what the settings leave out is None. For task
        ``regression`` those of ``explain_numbers`` and ``files``.
    """
    store = inputs.store
    rows = store.rows("test")
    masks = mask_reader(store, inputs.folder, inputs.root)
    batches = local_logits(inputs.network, store, rows, inputs.statistics, machine.batch_size, machine.device)
    if store.task == "regression":
        facts = explain_numbers(batches, store, inputs.predictions, inputs.scale, config, output, masks)
        return {**facts, "files": _write_out(inputs, config, output / VALUES, output, store.labels[0])}
    temperature = inputs.temperature()
    near = nearest_training(
        inputs.network,
        store,
        pictured_rows(inputs.predictions, store, config.max_overlays),
        inputs.statistics,
        machine.batch_size,
        machine.device,
        config.neighbours,
    )
    aids = Aids(
        geometry=geometry_reader(store, inputs.folder, inputs.root),
        neighbours=near,
        seen=lambda grid: field_of(inputs.network, store.shape[0], store.shape[1:], grid, 0),
    )
    facts = explain(
        batches,
        store,
        inputs.predictions,
        temperature,
        config,
        output,
        masks,
        linear=is_linear(inputs.network),
        aids=aids,
    )
    files = _write_out(inputs, config, output / MAPS, output, "probability")
    map_scores = shortcuts = None
    if config.scores.scans:
        map_scores = score_maps(
            inputs.network,
            store,
            rows,
            inputs.predictions,
            temperature,
            inputs.statistics,
            masks,
            config.scores,
            machine,
            figures=output,
        )
    if config.shortcuts.scans:
        shortcuts = probe_shortcuts(
            inputs.network,
            store,
            inputs.predictions,
            temperature,
            inputs.statistics,
            np.load(output / MAPS, mmap_mode="r"),
            config.shortcuts,
            machine,
            output / SHORTCUTS,
        )
    return {**facts, "files": files, "map_scores": map_scores, "shortcuts": shortcuts}


def tracked_numbers(facts: dict[str, Any]) -> dict[str, float]:
    """What of the facts a run's tracking shows as numbers."""
    numbers = tracked_scores(facts["scores"])
    if facts.get("map_scores"):
        numbers |= score_facts.tracked_scores(facts["map_scores"])
    if facts.get("shortcuts"):
        found = [probe for probe in facts["shortcuts"]["probes"] if probe["verdict"] == "found"]
        numbers["shortcuts.found"] = float(len(found))
    return numbers


def _write_out(
    inputs: Inputs, config: Explanation, arrays: Path, output: Path, units: str
) -> dict[str, Any] | None:
    """The maps on the scans' own pixels; facts, or None where they are not wanted."""
    if config.files == "none":
        return None
    store = inputs.store
    maps = np.load(arrays, mmap_mode="r")
    numbers = store.task == "regression"
    written = write_maps(
        output / FILES,
        store.index["scan_id"].iloc[store.rows("test")].astype(str).tolist(),
        maps[:, None] if numbers else maps,
        store.labels[:1] if numbers else store.labels,
        geometry_reader(store, inputs.folder, inputs.root, oriented=True),
        kind=config.files,
        units=units,
    )
    return {"written": len(written.files), "kept": written.kept, "failed": len(written.failed)}

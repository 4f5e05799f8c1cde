"""All that is said of the maps of a test split: drawn, exported, put to the test, and probed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from functools import singledispatch
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from scanlens.config.schema import Explanation
from scanlens.explanation.neighbours import nearest_training
from scanlens.explanation.number_run import VALUES, explain_numbers
from scanlens.explanation.ranking import pictured_rows
from scanlens.explanation.run import Aids, explain_classes
from scanlens.map_scores import facts as score_facts
from scanlens.map_scores.run import score_maps
from scanlens.maps.export import export_maps
from scanlens.maps.files import MAPS
from scanlens.maps.geometry import geometry_reader
from scanlens.maps.masks import mask_reader
from scanlens.maps.pointing import tracked_scores
from scanlens.methods.field import field_of
from scanlens.models.ensemble import Network, is_linear
from scanlens.models.predict import Local, local_logits
from scanlens.preprocess.store import Store
from scanlens.scaling.device import Machine
from scanlens.shortcuts.run import probe_shortcuts
from scanlens.tasks import Classes, Number, Task, not_registered
from scanlens.types import Facts, FloatArray

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
        scale: Mean and standard deviation of the training labels; used for numbers.
        predictions: Evaluation's table.
        temperature: The calibration's; not used for numbers.
    """

    store: Store
    folder: Path
    root: Path
    network: Network
    statistics: dict[str, object]
    scale: tuple[float, float]
    predictions: pd.DataFrame
    temperature: Callable[[], float]


def explain_test_split(inputs: Inputs, config: Explanation, machine: Machine, output: Path) -> Facts:
    """Everything the explanation stage finds out.

    Args:
        inputs: Of the stages before.
        config: Section ``explanation``.
        machine: Device and batch size.
        output: Receives what :func:`scanlens.explanation.run.explain_classes` writes, the folders
            :data:`FILES` and :data:`SHORTCUTS`, and the figures of the scores.

    Returns:
        Facts for ``explanation.json``: those of ``explain``, ``files``, ``map_scores`` (a sample's, with
        controls and intervals) and ``shortcuts``; what the settings leave out is None. Of numbers those of
        ``explain_numbers`` and ``files``.
    """
    return explain_task(inputs.store.task, inputs, config, machine, output)


@singledispatch
def explain_task(task: Task, inputs: Inputs, config: Explanation, machine: Machine, output: Path) -> Facts:
    """The kind of task's own part of :func:`explain_test_split`."""
    raise not_registered("scanlens.explanation", task)


@explain_task.register
def _(task: Number, inputs: Inputs, config: Explanation, machine: Machine, output: Path) -> Facts:
    facts = explain_numbers(
        _batches(inputs, machine),
        inputs.store,
        inputs.predictions,
        inputs.scale,
        config,
        output,
        _masks(inputs),
    )
    values = np.load(output / VALUES, mmap_mode="r")[:, None]
    return {**facts, "files": _export(inputs, config, values, output, inputs.store.labels[0])}


@explain_task.register
def _(task: Classes, inputs: Inputs, config: Explanation, machine: Machine, output: Path) -> Facts:
    store, masks = inputs.store, _masks(inputs)
    rows = store.rows("test")
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
    facts = explain_classes(
        _batches(inputs, machine),
        store,
        inputs.predictions,
        temperature,
        config,
        output,
        masks,
        linear=is_linear(inputs.network),
        aids=aids,
    )
    maps = np.load(output / MAPS, mmap_mode="r")
    files = _export(inputs, config, maps, output, "probability")
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
            maps,
            config.shortcuts,
            machine,
            output / SHORTCUTS,
        )
    return {**facts, "files": files, "map_scores": map_scores, "shortcuts": shortcuts}


def tracked_numbers(facts: dict[str, Any]) -> dict[str, float]:
    """What of the facts a run's tracking shows as numbers."""
    numbers = tracked_scores(facts["scores"])
    if facts.get("map_scores"):
        numbers |= score_facts.tracked_map_scores(facts["map_scores"])
    if facts.get("shortcuts"):
        found = [probe for probe in facts["shortcuts"]["probes"] if probe["verdict"] == "found"]
        numbers["shortcuts.found"] = float(len(found))
    return numbers


def _batches(inputs: Inputs, machine: Machine) -> Iterator[Local]:
    rows = inputs.store.rows("test")
    return local_logits(
        inputs.network, inputs.store, rows, inputs.statistics, machine.batch_size, machine.device
    )


def _masks(inputs: Inputs) -> Callable[[str], npt.NDArray[np.bool_] | None]:
    return mask_reader(inputs.store, inputs.folder, inputs.root)


def _export(
    inputs: Inputs, config: Explanation, maps: FloatArray, output: Path, units: str
) -> dict[str, Any] | None:
    """The maps on the scans' own pixels; facts, or None where they are not wanted."""
    if config.files == "none":
        return None
    store = inputs.store
    written = export_maps(
        output / FILES,
        store.index["scan_id"].iloc[store.rows("test")].astype(str).tolist(),
        maps,
        store.labels,
        geometry_reader(store, inputs.folder, inputs.root, oriented=True),
        kind=config.files,
        units=units,
    )
    return {"written": len(written.files), "kept": written.kept, "failed": len(written.failed)}

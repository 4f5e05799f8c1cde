"""The explanation stage as one call: maps drawn, a gallery, and maps on the scans' own pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import singledispatch
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scanlens.config.schema import Explanation
from scanlens.evaluation.evaluated import Evaluated
from scanlens.explanation.neighbours import nearest_training
from scanlens.explanation.number_run import explain_numbers
from scanlens.explanation.ranking import pictured_rows
from scanlens.explanation.run import Aids, explain_classes
from scanlens.maps.export import export_maps
from scanlens.maps.files import MAPS
from scanlens.maps.geometry import geometry_reader
from scanlens.maps.masks import mask_reader
from scanlens.methods.field import field_of
from scanlens.models.ensemble import is_linear
from scanlens.models.predict import Local, local_logits
from scanlens.scaling.device import Machine
from scanlens.tasks import Classes, Number, Task, not_registered
from scanlens.types import Facts, FloatArray

FILES = "files"
"""Folder of the maps on the scans' own pixels."""


def explain_test_split(
    inputs: Evaluated, config: Explanation, machine: Machine, output: Path, positive: str | None = None
) -> Facts:
    """Everything the explanation stage finds out.

    Args:
        inputs: The classifier and its scans.
        config: Section ``explanation``.
        machine: Device and batch size.
        output: Receives what :func:`scanlens.explanation.run.explain_classes` writes, and the folder
            :data:`FILES`.
        positive: ``data.positive``: its map is searched for regions where the settings name no other.

    Returns:
        Facts for ``explanation.json``: those of ``explain_classes`` (of numbers ``explain_numbers``) and
        ``files``, None where the settings leave them out.
    """
    if positive is not None and not config.regions.labels:
        config = replace(config, regions=replace(config.regions, labels=[positive]))
    return explain_task(inputs.store.task, inputs, config, machine, output)


@singledispatch
def explain_task(task: Task, inputs: Evaluated, config: Explanation, machine: Machine, output: Path) -> Facts:
    """The kind of task's own part of :func:`explain_test_split`."""
    raise not_registered("scanlens.explanation", task)


@explain_task.register
def _(task: Number, inputs: Evaluated, config: Explanation, machine: Machine, output: Path) -> Facts:
    facts = explain_numbers(
        _batches(inputs, machine),
        inputs.store,
        inputs.predictions,
        inputs.scale,
        config,
        output,
        _masks(inputs),
    )
    values = np.load(output / MAPS, mmap_mode="r")[:, None]
    return {**facts, "files": _export(inputs, config, values, output, inputs.store.labels[0])}


@explain_task.register
def _(task: Classes, inputs: Evaluated, config: Explanation, machine: Machine, output: Path) -> Facts:
    store, masks = inputs.store, _masks(inputs)
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
        inputs.temperature,
        config,
        output,
        masks,
        linear=is_linear(inputs.network),
        aids=aids,
    )
    maps = np.load(output / MAPS, mmap_mode="r")
    files = _export(inputs, config, maps, output, "probability")
    return {**facts, "files": files}


def _batches(inputs: Evaluated, machine: Machine) -> Iterator[Local]:
    rows = inputs.store.rows("test")
    return local_logits(
        inputs.network, inputs.store, rows, inputs.statistics, machine.batch_size, machine.device
    )


def _masks(inputs: Evaluated) -> Callable[[str], npt.NDArray[np.bool_] | None]:
    return mask_reader(inputs.store, inputs.folder, inputs.root)


def _export(
    inputs: Evaluated, config: Explanation, maps: FloatArray, output: Path, units: str
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

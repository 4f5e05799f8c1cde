"""The explanation stage as one call: maps drawn, put into a gallery, and written on the scans' own pixels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scanlens.config.schema import Explanation
from scanlens.evaluation.evaluated import Evaluated
from scanlens.explanation.neighbours import nearest_training
from scanlens.explanation.number_run import VALUES, explain_numbers
from scanlens.explanation.ranking import pictured_rows
from scanlens.explanation.run import Aids, explain
from scanlens.maps.export import write_maps
from scanlens.maps.files import MAPS
from scanlens.maps.geometry import geometry_reader
from scanlens.maps.masks import mask_reader
from scanlens.methods.field import field_of
from scanlens.models.ensemble import is_linear
from scanlens.models.predict import local_logits

if TYPE_CHECKING:
    from scanlens.scaling.device import Machine

FILES = "files"
"""Folder of the maps on the scans' own pixels."""


def explain_test_split(
    inputs: Evaluated, config: Explanation, machine: Machine, output: Path
) -> dict[str, Any]:
    """Everything the explanation stage finds out.

    Args:
        inputs: The classifier and its scans.
        config: Section ``explanation``.
        machine: Device and batch size.
        output: Receives what :func:`scanlens.explanation.run.explain` writes, and the folder :data:`FILES`.

    Returns:
        Facts for ``explanation.json``: those of ``explain`` and ``files``, None where the settings leave them
        out. For task ``regression`` those of ``explain_numbers`` and ``files``.
    """
    store = inputs.store
    rows = store.rows("test")
    masks = mask_reader(store, inputs.folder, inputs.root)
    batches = local_logits(inputs.network, store, rows, inputs.statistics, machine.batch_size, machine.device)
    if store.task == "regression":
        facts = explain_numbers(batches, store, inputs.predictions, inputs.scale, config, output, masks)
        return {**facts, "files": _write_out(inputs, config, output / VALUES, output, store.labels[0])}
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
        inputs.temperature,
        config,
        output,
        masks,
        linear=is_linear(inputs.network),
        aids=aids,
    )
    files = _write_out(inputs, config, output / MAPS, output, "probability")
    return {**facts, "files": files}


def _write_out(
    inputs: Evaluated, config: Explanation, arrays: Path, output: Path, units: str
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

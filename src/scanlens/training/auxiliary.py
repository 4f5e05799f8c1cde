"""Further columns learnt jointly with the label: age, sex, site or whatever else is known of the scans.

They shape the features and are dropped afterwards: their layers live beside the network, never in it
(Caruana 1997, "Multitask learning"). Values are anonymous already: numbers are places in their order, text is
hashed (:mod:`scanlens.sources.listing.metadata`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scanlens.config.schema import AuxiliaryTask
from scanlens.errors import SettingsError
from scanlens.models.classifier import Classifier
from scanlens.types import FloatArray

MANIFEST_COLUMNS = ("site", "modality", "photometric", "bits", "channels", "orientation", "burned_in")
"""Columns of the manifest that say something of a scan beside its label."""


@dataclass(frozen=True)
class AuxiliaryTarget:
    """One column as a target.

    Attributes:
        column: Its name.
        weight: Of its loss.
        classes: Number of its values where they are classes; 0 for a number.
    """

    column: str
    weight: float
    classes: int


@dataclass(frozen=True)
class AuxiliaryTargets:
    """Targets of all tasks.

    Attributes:
        tasks: One a column.
        values: Indexed by scan_id, one column per task: class numbers or standardised numbers, NaN = unknown.
    """

    tasks: tuple[AuxiliaryTarget, ...]
    values: pd.DataFrame

    def of(self, index: pd.DataFrame) -> FloatArray:
        """Targets of a store's rows, float32 ``(row, task)``; changed copies have their parent's.

        Args:
            index: Rows of a store's index.
        """
        ids = index["parents"] if "parents" in index else index["scan_id"]
        return self.values.reindex(ids).to_numpy(dtype=np.float32)


def read_auxiliary(
    tasks: Sequence[AuxiliaryTask], scan_ids: Sequence[str], manifest: Path, raw: Path
) -> AuxiliaryTargets | None:
    """Look the columns up and bring them into the form of targets.

    Numbers are standardised; ``auto`` takes a column of numbers with more than two values for a number and
    everything else for classes. Statistics and classes are those of ``scan_ids``; a class beside them is
    unknown.

    Args:
        tasks: The settings.
        scan_ids: The training scans.
        manifest: Folder of ``manifest.parquet``.
        raw: Folder of ``metadata.parquet``, where the label table has further columns.

    Returns:
        None where there are no tasks.

    Raises:
        SettingsError: A column does not exist, says nothing, or is text where a number is wanted.
    """
    if not tasks:
        return None
    table = _known_columns(manifest, raw)
    made, values = [], {}
    for task in tasks:
        if task.column not in table.columns:
            raise SettingsError(
                f"training.auxiliary: no column {task.column!r}.",
                f"Columns there are: {', '.join(table.columns) or 'none'}.",
            )
        kind, column = _as_targets(table[task.column], task, pd.Index(scan_ids))
        values[task.column] = column
        made.append(AuxiliaryTarget(task.column, task.weight, kind))
    return AuxiliaryTargets(tuple(made), pd.DataFrame(values))


def _known_columns(manifest: Path, raw: Path) -> pd.DataFrame:
    """What is known of each scan, by scan_id; text that is empty is unknown."""
    path = manifest / "manifest.parquet"
    if not path.is_file():
        raise SettingsError(f"{path}: no manifest here.", "Run the manifest stage first.")
    scans = pd.read_parquet(path, columns=["scan_id", *MANIFEST_COLUMNS])
    table = scans.set_index("scan_id")
    further = raw / "metadata.parquet"
    if further.is_file():
        metadata = pd.read_parquet(further)
        if len(metadata) != len(table):
            raise SettingsError(
                f"{further}: {len(metadata)} rows, but the manifest has {len(table)}.",
                "Run the manifest stage again.",
            )
        # The label table knows better than the files' headers.
        table = table[[name for name in table.columns if name not in metadata.columns]]
        table = pd.concat([table, metadata.set_index(table.index)], axis=1)
    table = table.replace("", np.nan)
    return table[[name for name in table.columns if table[name].nunique() > 1]]


def _as_targets(column: pd.Series, task: AuxiliaryTask, training: pd.Index) -> tuple[int, pd.Series]:
    """Number of classes (0: a number) and the column as floats."""
    seen = column.reindex(training).dropna()
    if seen.nunique() < 2:
        raise SettingsError(
            f"training.auxiliary: column {task.column!r} has fewer than two values in the training split.",
            "Leave it out.",
        )
    numeric = pd.api.types.is_numeric_dtype(column)
    if task.kind == "number" and not numeric:
        raise SettingsError(
            f"training.auxiliary: column {task.column!r} is text, kind=number does not fit.",
            "Set its kind to class or auto.",
        )
    if task.kind == "number" or (task.kind == "auto" and numeric and seen.nunique() > 2):
        return 0, (column.astype(float) - seen.mean()) / seen.std(ddof=0)
    numbers = {value: float(number) for number, value in enumerate(sorted(seen.unique()))}
    return len(numbers), column.map(numbers).astype(float)


class AuxiliaryHeads(nn.Module):
    """A linear layer a task on the pooled features.

    Args:
        tasks: The columns.
        features: Number of pooled features.
        seed: Of the first weights.
    """

    def __init__(self, tasks: Sequence[AuxiliaryTarget], features: int, seed: int) -> None:
        super().__init__()
        self.tasks = tuple(tasks)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.layers = nn.ModuleList(nn.Linear(features, max(task.classes, 1)) for task in self.tasks)

    def forward(self, pooled: Tensor, values: Tensor) -> Tensor:
        """Weighted sum of the tasks' losses: squared error of numbers, cross-entropy of classes.

        Args:
            pooled: ``(batch, feature)``, float32.
            values: Targets ``(batch, task)``; NaN is left out of the mean over the batch.
        """
        total = pooled.new_zeros(())
        for number, (task, layer) in enumerate(zip(self.tasks, self.layers, strict=True)):
            known = ~values[:, number].isnan()
            wanted = values[:, number].nan_to_num(0.0)
            outputs = layer(pooled)
            if task.classes:
                losses = F.cross_entropy(outputs, wanted.long(), reduction="none")
            else:
                losses = (outputs[:, 0] - wanted) ** 2
            # No branch where nothing is known: every process must give every layer a gradient.
            total = total + task.weight * (losses * known).sum() / known.sum().clamp(min=1)
        return total


def auxiliary_heads(
    targets: AuxiliaryTargets | None, network: Classifier, seed: int
) -> AuxiliaryHeads | None:
    """Layers for the tasks on what ``network`` pools; None where there are no tasks."""
    if targets is None:
        return None
    first = network.hidden[0] if len(network.hidden) else network.head
    weight = first.weight
    assert isinstance(weight, Tensor)
    return AuxiliaryHeads(targets.tasks, weight.shape[1], seed)

"""Many arrays of one shape on disk, read by row: memory does not grow with their number.

What the folder holds is in :mod:`scanlens.preprocess.store_files`.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from scanlens.errors import SettingsError
from scanlens.preprocess.shard_file import DTYPE, SCALE, ShardReader, ShardWriter, quantise, shard_path
from scanlens.preprocess.store_files import (
    DEFAULT_TASK,
    Description,
    check_index,
    clear_store,
    describe_store,
    read_description,
)
from scanlens.tasks import task_of
from scanlens.types import ImageArray, IntArray

Rows = Sequence[int] | npt.NDArray[np.integer[Any]]

_OPEN_SHARDS = 64
"""Shards open at one time: each needs a file descriptor."""


class StoreWriter:
    """Append arrays row by row; one row is in memory at a time.

    Opening it removes an earlier store in the folder. Leaving the ``with`` block by an error, or before
    :meth:`close`, leaves a folder without ``store.json``, which :meth:`Store.open` refuses.

    Args:
        folder: The store's folder; made if missing.
        shape: ``(channel, *spatial)`` of every row.
        labels: The classes in order, or the name of the number.
        shard_rows: Rows a shard.
        task: What the labels are, as ``data.task`` without ``auto``.
    """

    def __init__(
        self,
        folder: Path,
        shape: tuple[int, ...],
        labels: list[str],
        shard_rows: int,
        task: str = DEFAULT_TASK,
    ) -> None:
        self.folder = folder
        self.shape = tuple(shape)
        self.labels = list(labels)
        self.task = task
        self.shard_rows = shard_rows
        self._finished: list[int] = []
        self._shard: ShardWriter | None = None
        clear_store(folder)

    def __enter__(self) -> StoreWriter:
        """Return the writer."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Drop a shard that was not finished."""
        if self._shard is not None:
            self._shard.discard()
            self._shard = None

    def append(self, image: ImageArray) -> None:
        """Add one row.

        Args:
            image: float32 in [0, 1], ``(channel, *spatial)``.

        Raises:
            ValueError: Another shape, or values outside [0, 1].
        """
        if image.shape != self.shape:
            raise ValueError(f"expected an array of shape {self.shape}, got {image.shape}")
        row = quantise(image).tobytes()
        if self._shard is None:
            self._shard = ShardWriter(shard_path(self.folder, len(self._finished)), self.shape)
        self._shard.append(row)
        if self._shard.rows == self.shard_rows:
            self._finish_shard()

    def close(self, index: pd.DataFrame) -> None:
        """Finish the last shard and write the index and ``store.json``.

        Args:
            index: One row per stored array, in the order of appending; at least
                :data:`scanlens.preprocess.store_files.INDEX_COLUMNS`.

        Raises:
            ValueError: The index does not fit.
        """
        unfinished = [] if self._shard is None else [self._shard.rows]
        description = Description(self.shape, self.labels, self._finished + unfinished, self.task)
        check_index(index, description)
        self._finish_shard()
        describe_store(self.folder, description, index)

    def _finish_shard(self) -> None:
        if self._shard is not None:
            self._shard.finish()
            self._finished.append(self._shard.rows)
            self._shard = None


class Store:
    """Read a store by row. Make one with :meth:`open`.

    Attributes:
        folder: Where it is.
        shape: ``(channel, *spatial)`` of every row.
        labels: The classes in order; for task ``regression`` the number's name alone.
        index: One row per scan, in the order of the rows; ``label`` is text for every task.
        task: What the labels are.
    """

    def __init__(self, folder: Path, description: Description, index: pd.DataFrame) -> None:
        self.folder = folder
        self.shape = description.shape
        self.labels = description.labels
        self.task = task_of(description.task)
        self.index = index
        self._starts: IntArray = np.cumsum([0, *description.shards], dtype=np.int64)
        self._targets = self.task.encode(index["label"], self.labels)
        self._splits = index["split"].to_numpy(dtype=object)
        self._readers: OrderedDict[int, ShardReader] = OrderedDict()

    @classmethod
    def open(cls, folder: Path) -> Store:
        """Open a store, after comparing its files with its description.

        Raises:
            SettingsError: The folder is no store, or a file of it is missing or of another size.
        """
        return cls(folder, *read_description(folder))

    def __len__(self) -> int:
        """Rows."""
        return len(self.index)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the open files out: another process opens its own."""
        return {**self.__dict__, "_readers": OrderedDict()}

    def read(self, rows: Rows) -> ImageArray:
        """Read rows in the order asked for; one may be asked for several times. Threads may read at once.

        Args:
            rows: Row numbers in [0, len).

        Returns:
            float32 in [0, 1], ``(len(rows), channel, *spatial)``.

        Raises:
            IndexError: A row outside of the store.
            OSError: A shard cannot be read any more.
        """
        wanted = np.asarray(rows, dtype=np.int64)
        if len(wanted) and not 0 <= wanted.min() <= wanted.max() < len(self):
            raise IndexError(f"rows {wanted.min()} to {wanted.max()} asked of a store of {len(self)}")
        images = np.empty((len(wanted), *self.shape), dtype=np.float32)
        stored = np.empty(self.shape, dtype=DTYPE)
        shards = np.searchsorted(self._starts, wanted, side="right") - 1
        for image, row, shard in zip(images, wanted.tolist(), shards.tolist(), strict=True):
            self._reader(shard).read(row - int(self._starts[shard]), stored)
            np.true_divide(stored, np.float32(SCALE), out=image)
        return images

    @property
    def strata(self) -> pd.Series:
        """What to deal or balance by, indexed like ``index``: the class, or the quantile bin of a number."""
        return self.task.strata(self.index["label"])

    def targets(self, rows: Rows) -> npt.NDArray[Any]:
        """Class numbers (places in ``labels``), int64, ``(len(rows),)``; float32 numbers for regression."""
        return self._targets[np.asarray(rows, dtype=np.int64)]

    @property
    def number_scale(self) -> tuple[float, float]:
        """Mean and standard deviation of the training split's numbers; (0, 1) where labels are classes."""
        return self.task.scale(self.targets(self.rows("train")))

    def rows(self, split: str) -> IntArray:
        """Row numbers of a split, ascending."""
        return np.flatnonzero(self._splits == split)

    @property
    def statistics(self) -> dict[str, Any]:
        """``mean`` and ``std`` (a number a channel) and ``scans`` of the training rows.

        Raises:
            SettingsError: statistics.json is missing or damaged.
        """
        path = self.folder / "statistics.json"
        try:
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise SettingsError(
                f"{path}: cannot be read: {error}.", f"Run the stage that writes {self.folder} again."
            ) from error
        return content

    @property
    def digest(self) -> str:
        """SHA-256 over what the store says of itself: scans (by content or generator), shape, settings."""
        names = (
            "store.json",
            "index.parquet",
            "preprocessor.json",
            "statistics.json",
            "generator.safetensors",
        )
        digest = hashlib.sha256()
        for path in (self.folder / name for name in names):
            digest.update(path.read_bytes() if path.is_file() else b"-")
        return digest.hexdigest()

    def _reader(self, shard: int) -> ShardReader:
        reader = self._readers.pop(shard, None)
        if reader is None:
            reader = ShardReader(shard_path(self.folder, shard), self.shape)
        self._readers[shard] = reader
        if len(self._readers) > _OPEN_SHARDS:
            self._readers.popitem(last=False)
        return reader

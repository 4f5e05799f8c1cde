"""Many arrays of one shape on disk, read by row through memory maps: memory does not grow with their number.

A store is a folder: ``shard-00000.npy``… (NumPy format, uint16, ``(row, channel, *spatial)``, value =
round(65535 x) for x in [0, 1]), ``index.parquet`` (one row a scan, in the order of the rows) and
``store.json``, which lists the rows of each shard and is written last: a folder without it is no store.
"""

from __future__ import annotations

import hashlib
import json
import mmap
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from scanlens.atomic import replacing, write_json
from scanlens.config.numbers import as_numbers, is_number, quantile_bins
from scanlens.errors import SettingsError
from scanlens.preprocess.shard_file import (
    DTYPE,
    SCALE,
    ShardWriter,
    quantise,
    row_bytes,
    shard_header,
    shard_path,
)
from scanlens.types import ImageArray

IntArray = npt.NDArray[np.int64]
Rows = Sequence[int] | npt.NDArray[np.integer[Any]]

VERSION = 2
"""Of the format; 1 had shards of equal length."""
INDEX_COLUMNS = ("scan_id", "patient", "label", "split", "site", "path")
"""What every index has; it may have more."""
DEFAULT_TASK = "multiclass"
"""Of stores that do not say."""
_OPEN_MAPS = 64
"""Shards mapped at one time: each needs a file descriptor."""


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
        if shard_rows < 1:
            raise SettingsError(f"preprocess.shard_rows: expected at least 1, got {shard_rows}.")
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
            index: One row a stored array, in the order of appending; at least :data:`INDEX_COLUMNS`.

        Raises:
            ValueError: The index does not fit.
        """
        unfinished = [] if self._shard is None else [self._shard.rows]
        check_index(index, sum(self._finished + unfinished), self.labels, self.task)
        self._finish_shard()
        describe_store(self.folder, self.shape, self.labels, self._finished, index, self.task)

    def _finish_shard(self) -> None:
        if self._shard is not None:
            self._shard.finish()
            self._finished.append(self._shard.rows)
            self._shard = None


def clear_store(folder: Path) -> None:
    """Remove a store's files, whole or begun; make the folder if it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("store.json", "index.parquet", "statistics.json", "preprocessor.json"):
        (folder / name).unlink(missing_ok=True)
    for pattern in ("shard-*.npy", ".shard-*.part"):
        for shard in folder.glob(pattern):
            shard.unlink()


def check_index(index: pd.DataFrame, rows: int, labels: list[str], task: str = DEFAULT_TASK) -> None:
    """Compare an index with what it describes.

    Raises:
        ValueError: Another number of rows, a missing column, or a label beside ``labels`` or, for task
            ``regression``, that is no number.
    """
    missing = [name for name in INDEX_COLUMNS if name not in index.columns]
    if missing or len(index) != rows:
        raise ValueError(f"an index of {len(index)} rows without {missing} does not fit {rows} arrays")
    unknown = strange_labels(index["label"], labels, task)
    if unknown:
        raise ValueError(f"labels {unknown} are none of {labels}")


def strange_labels(found: pd.Series, labels: list[str], task: str) -> list[str]:
    """Labels that are none of the classes, or no number where numbers are wanted."""
    if task == "regression":
        return sorted(label for label in set(found) if not is_number(label))
    return sorted(set(found) - set(labels))


def describe_store(
    folder: Path,
    shape: tuple[int, ...],
    labels: list[str],
    shards: Sequence[int],
    index: pd.DataFrame,
    task: str = DEFAULT_TASK,
) -> None:
    """Write the index and, last, ``store.json``: the shards in the folder become a store.

    Args:
        folder: Holds the shards.
        shape: ``(channel, *spatial)`` of every row.
        labels: The classes in order.
        shards: Rows of each shard.
        index: One row a stored array, in the order of the shards; at least :data:`INDEX_COLUMNS`.
        task: What the labels are, as ``data.task`` without ``auto``.

    Raises:
        ValueError: The index does not fit.
    """
    check_index(index, sum(shards), labels, task)
    with replacing(folder / "index.parquet") as temporary:
        index.reset_index(drop=True).to_parquet(temporary, index=False, compression="zstd")
    content = {
        "version": VERSION,
        "shape": list(shape),
        "dtype": DTYPE.name,
        "scale": SCALE,
        "rows": sum(shards),
        "shards": list(shards),
        "labels": labels,
        "task": task,
    }
    write_json(folder / "store.json", content)


class Store:
    """Read a store by row. Make one with :meth:`open`.

    Attributes:
        folder: Where it is.
        shape: ``(channel, *spatial)`` of every row.
        labels: The classes in order; for task ``regression`` the number's name alone.
        index: One row a scan, in the order of the rows; ``label`` is text for every task.
        task: What the labels are: ``binary``, ``multiclass``, ``ordinal`` or ``regression``.
    """

    def __init__(
        self,
        folder: Path,
        shape: tuple[int, ...],
        labels: list[str],
        shards: Sequence[int],
        index: pd.DataFrame,
        task: str = DEFAULT_TASK,
    ) -> None:
        self.folder = folder
        self.shape = shape
        self.labels = labels
        self.index = index
        self.task = task
        self._starts: IntArray = np.cumsum([0, *shards], dtype=np.int64)
        self._targets: npt.NDArray[Any]
        if task == "regression":
            self._targets = as_numbers(index["label"]).astype(np.float32)
        else:
            codes = pd.Categorical(index["label"], categories=labels).codes
            self._targets = np.asarray(codes, dtype=np.int64)
        self._splits = index["split"].to_numpy(dtype=object)
        self._maps: OrderedDict[int, np.memmap[Any, np.dtype[np.uint16]]] = OrderedDict()

    @classmethod
    def open(cls, folder: Path) -> Store:
        """Open a store, after comparing its files with its description.

        Raises:
            SettingsError: The folder is no store, or a file of it is missing or of another size.
        """
        remedy = f"Run the stage that writes {folder} again."
        try:
            content = json.loads((folder / "store.json").read_text(encoding="utf-8"))
            shape = tuple(int(side) for side in content["shape"])
            rows, shards = int(content["rows"]), [int(count) for count in content["shards"]]
            labels = [str(label) for label in content["labels"]]
            kept = (content["version"], content["dtype"], content["scale"])
            # Stores of before there were tasks held classes.
            task = str(content.get("task", DEFAULT_TASK))
        except FileNotFoundError as error:
            raise SettingsError(f"{folder}: no store here (no store.json).", remedy) from error
        except (ValueError, KeyError, TypeError) as error:
            raise SettingsError(f"{folder / 'store.json'}: damaged: {error!r}.", remedy) from error
        sound = bool(shape) and min(shape) >= 1 and min(shards, default=0) >= 0 and sum(shards) == rows
        if kept != (VERSION, DTYPE.name, SCALE) or not sound:
            raise SettingsError(f"{folder / 'store.json'}: describes no store this scanlens reads.", remedy)
        _check_shards(folder, shape, shards, remedy)
        try:
            index = pd.read_parquet(folder / "index.parquet")
        except (OSError, ValueError) as error:
            raise SettingsError(f"{folder / 'index.parquet'}: cannot be read: {error}.", remedy) from error
        if len(index) != rows or not set(INDEX_COLUMNS) <= set(index.columns):
            raise SettingsError(f"{folder / 'index.parquet'}: does not fit the {rows} rows.", remedy)
        if strange_labels(index["label"], labels, task):
            raise SettingsError(f"{folder / 'index.parquet'}: has labels beside {labels}.", remedy)
        return cls(folder, shape, labels, shards, index, task)

    def __len__(self) -> int:
        """Rows."""
        return len(self.index)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the maps out: another process makes its own."""
        return {**self.__dict__, "_maps": OrderedDict()}

    def read(self, rows: Rows) -> ImageArray:
        """Read rows in the order asked for; one may be asked for several times.

        Args:
            rows: Row numbers in [0, len).

        Returns:
            float32 in [0, 1], ``(len(rows), channel, *spatial)``.

        Raises:
            IndexError: A row outside of the store.
        """
        wanted = np.asarray(rows, dtype=np.int64)
        if len(wanted) and not 0 <= wanted.min() <= wanted.max() < len(self):
            raise IndexError(f"rows {wanted.min()} to {wanted.max()} asked of a store of {len(self)}")
        images = np.empty((len(wanted), *self.shape), dtype=np.float32)
        shards = np.searchsorted(self._starts, wanted, side="right") - 1
        for shard in np.unique(shards):
            places = np.flatnonzero(shards == shard)
            stored = self._map(int(shard))
            for place in places:
                row = wanted[place] - self._starts[shard]
                np.true_divide(stored[row], np.float32(SCALE), out=images[place])
            _release(stored)
        return images

    @property
    def strata(self) -> pd.Series:
        """What to deal or balance by, indexed like ``index``: the class, or the quantile bin of a number."""
        return quantile_bins(self.index["label"]) if self.task == "regression" else self.index["label"]

    def targets(self, rows: Rows) -> npt.NDArray[Any]:
        """Class numbers (places in ``labels``), int64, ``(len(rows),)``; float32 numbers for regression."""
        return self._targets[np.asarray(rows, dtype=np.int64)]

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

    def _map(self, shard: int) -> np.memmap[Any, np.dtype[np.uint16]]:
        stored = self._maps.pop(shard, None)
        if stored is None:
            stored = np.lib.format.open_memmap(shard_path(self.folder, shard), mode="r")
        self._maps[shard] = stored
        if len(self._maps) > _OPEN_MAPS:
            self._maps.popitem(last=False)
        return stored


def _check_shards(folder: Path, shape: tuple[int, ...], shards: Sequence[int], remedy: str) -> None:
    """Compare each shard's header and size on disk with the description."""
    for number, rows in enumerate(shards):
        path = shard_path(folder, number)
        header = shard_header(rows, shape)
        size = len(header) + rows * row_bytes(shape)
        try:
            with path.open("rb") as file:
                found = file.read(len(header))
            found_size = path.stat().st_size
        except OSError as error:
            raise SettingsError(f"{path}: cannot be read: {error}.", remedy) from error
        if found != header or found_size != size:
            raise SettingsError(
                f"{path}: is not the shard of {rows} rows of shape {shape}, {DTYPE.name}, in {size} bytes, "
                f"that store.json describes ({found_size} bytes).",
                remedy,
            )


def _release(stored: np.memmap[Any, np.dtype[np.uint16]]) -> None:
    """Give the pages read back: they stay in the system's cache but no longer count as this process's."""
    mapping = getattr(stored, "_mmap", None)
    if isinstance(mapping, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        mapping.madvise(mmap.MADV_DONTNEED)

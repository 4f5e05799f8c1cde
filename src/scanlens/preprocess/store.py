"""Many arrays of one shape on disk, read by row through memory maps: memory does not grow with their number.

A store is a folder: ``shard-00000.npy``… (NumPy format, uint16, ``(row, channel, *spatial)``, value =
round(65535 x) for x in [0, 1]), ``index.parquet`` (one row a scan, in the order of the rows) and
``store.json``, which is written last: a folder without it is no store.
"""

from __future__ import annotations

import hashlib
import json
import mmap
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from scanlens.atomic import replacing, write_json
from scanlens.errors import SettingsError
from scanlens.types import ImageArray

IntArray = npt.NDArray[np.int64]
Rows = Sequence[int] | npt.NDArray[np.integer[Any]]

SCALE = 65535
"""Stored value of 1.0."""
DTYPE = np.dtype("<u2")
INDEX_COLUMNS = ("scan_id", "patient", "label", "split", "site", "path")
"""What every index has; it may have more."""
_OPEN_MAPS = 64
"""Shards mapped at one time: each needs a file descriptor."""


class StoreWriter:
    """Append arrays row by row; one row is in memory at a time.

    Opening it removes an earlier store in the folder. Leaving the ``with`` block by an error, or before
    :meth:`close`, leaves a folder without ``store.json``, which :meth:`Store.open` refuses.

    Args:
        folder: The store's folder; made if missing.
        shape: ``(channel, *spatial)`` of every row.
        labels: The classes in order.
        shard_rows: Rows a shard.
    """

    def __init__(self, folder: Path, shape: tuple[int, ...], labels: list[str], shard_rows: int) -> None:
        if shard_rows < 1:
            raise SettingsError(f"preprocess.shard_rows: expected at least 1, got {shard_rows}.")
        self.folder = folder
        self.shape = tuple(shape)
        self.labels = list(labels)
        self.shard_rows = shard_rows
        self.rows = 0
        self._file: IO[bytes] | None = None
        self._in_shard = 0
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("store.json", "index.parquet", "statistics.json", "preprocessor.json"):
            (folder / name).unlink(missing_ok=True)
        for shard in folder.glob("shard-*.npy"):
            shard.unlink()

    def __enter__(self) -> StoreWriter:
        """Return the writer."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Drop a shard that was not finished."""
        if self._file is not None:
            self._file.close()
            self._file = None
            self._temporary.unlink(missing_ok=True)

    @property
    def _temporary(self) -> Path:
        return self.folder / ".shard.part"

    def append(self, image: ImageArray) -> None:
        """Add one row.

        Args:
            image: float32 in [0, 1], ``(channel, *spatial)``.

        Raises:
            ValueError: Another shape, or values outside [0, 1].
        """
        if image.shape != self.shape:
            raise ValueError(f"expected an array of shape {self.shape}, got {image.shape}")
        if not (image.min() >= 0 and image.max() <= 1):
            raise ValueError(f"expected values in [0, 1], got {image.min()} to {image.max()}")
        if self._file is None:
            self._file = self._temporary.open("wb")
            self._write_header(self._file, self.shard_rows)
        self._file.write(np.rint(image * SCALE).astype(DTYPE).tobytes())
        self._in_shard += 1
        self.rows += 1
        if self._in_shard == self.shard_rows:
            self._finish_shard(self._file)

    def close(self, index: pd.DataFrame) -> None:
        """Finish the last shard and write the index and ``store.json``.

        Args:
            index: One row a stored array, in the order of appending; at least :data:`INDEX_COLUMNS`.

        Raises:
            ValueError: The index does not fit.
        """
        missing = [name for name in INDEX_COLUMNS if name not in index.columns]
        if missing or len(index) != self.rows:
            raise ValueError(
                f"an index of {len(index)} rows without {missing} does not fit {self.rows} arrays"
            )
        unknown = set(index["label"]) - set(self.labels)
        if unknown:
            raise ValueError(f"labels {sorted(unknown)} are none of {self.labels}")
        if self._file is not None:
            self._finish_shard(self._file)
        with replacing(self.folder / "index.parquet") as temporary:
            index.reset_index(drop=True).to_parquet(temporary, index=False, compression="zstd")
        content = {
            "version": 1,
            "shape": list(self.shape),
            "dtype": DTYPE.name,
            "scale": SCALE,
            "rows": self.rows,
            "shard_rows": self.shard_rows,
            "labels": self.labels,
        }
        write_json(self.folder / "store.json", content)

    def _finish_shard(self, file: IO[bytes]) -> None:
        # NumPy pads headers so that one with another number of rows takes the same place.
        file.seek(0)
        self._write_header(file, self._in_shard)
        file.close()
        self._temporary.replace(shard_path(self.folder, (self.rows - 1) // self.shard_rows))
        self._file, self._in_shard = None, 0

    def _write_header(self, file: IO[bytes], rows: int) -> None:
        header = {"descr": DTYPE.str, "fortran_order": False, "shape": (rows, *self.shape)}
        np.lib.format.write_array_header_1_0(file, header)


class Store:
    """Read a store by row. Make one with :meth:`open`.

    Attributes:
        folder: Where it is.
        shape: ``(channel, *spatial)`` of every row.
        labels: The classes in order.
        index: One row a scan, in the order of the rows.
    """

    def __init__(
        self, folder: Path, shape: tuple[int, ...], labels: list[str], shard_rows: int, index: pd.DataFrame
    ) -> None:
        self.folder = folder
        self.shape = shape
        self.labels = labels
        self.index = index
        self._shard_rows = shard_rows
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
            rows, shard_rows = int(content["rows"]), int(content["shard_rows"])
            labels = [str(label) for label in content["labels"]]
            kept = (content["version"], content["dtype"], content["scale"])
        except FileNotFoundError as error:
            raise SettingsError(f"{folder}: no store here (no store.json).", remedy) from error
        except (ValueError, KeyError, TypeError) as error:
            raise SettingsError(f"{folder / 'store.json'}: damaged: {error!r}.", remedy) from error
        if kept != (1, DTYPE.name, SCALE) or shard_rows < 1 or rows < 0 or not shape or min(shape) < 1:
            raise SettingsError(f"{folder / 'store.json'}: describes no store this scanlens reads.", remedy)
        _check_shards(folder, shape, rows, shard_rows, remedy)
        try:
            index = pd.read_parquet(folder / "index.parquet")
        except (OSError, ValueError) as error:
            raise SettingsError(f"{folder / 'index.parquet'}: cannot be read: {error}.", remedy) from error
        if len(index) != rows or not set(INDEX_COLUMNS) <= set(index.columns):
            raise SettingsError(f"{folder / 'index.parquet'}: does not fit the {rows} rows.", remedy)
        if not index["label"].isin(labels).all():
            raise SettingsError(f"{folder / 'index.parquet'}: has labels beside {labels}.", remedy)
        return cls(folder, shape, labels, shard_rows, index)

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
        shards = wanted // self._shard_rows
        for shard in np.unique(shards):
            places = np.flatnonzero(shards == shard)
            stored = self._map(int(shard))
            for place in places:
                np.true_divide(stored[wanted[place] % self._shard_rows], np.float32(SCALE), out=images[place])
            _release(stored)
        return images

    def targets(self, rows: Rows) -> IntArray:
        """Class numbers (places in ``labels``), int64, ``(len(rows),)``."""
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


def shard_path(folder: Path, number: int) -> Path:
    """Name of a shard."""
    return folder / f"shard-{number:05d}.npy"


def _check_shards(folder: Path, shape: tuple[int, ...], rows: int, shard_rows: int, remedy: str) -> None:
    """Compare each shard's header and size on disk with the description."""
    for number, start in enumerate(range(0, rows, shard_rows)):
        path = shard_path(folder, number)
        expected = (min(shard_rows, rows - start), *shape)
        try:
            with path.open("rb") as file:
                np.lib.format.read_magic(file)
                found, _, dtype = np.lib.format.read_array_header_1_0(file)
                size = file.tell() + int(np.prod(expected)) * DTYPE.itemsize
        except (OSError, ValueError) as error:
            raise SettingsError(f"{path}: cannot be read: {error}.", remedy) from error
        if found != expected or dtype != DTYPE or path.stat().st_size != size:
            raise SettingsError(
                f"{path}: expected {expected} {DTYPE.name} in {size} bytes, "
                f"got {found} {dtype} in {path.stat().st_size} bytes.",
                remedy,
            )


def _release(stored: np.memmap[Any, np.dtype[np.uint16]]) -> None:
    """Give the pages read back: they stay in the system's cache but no longer count as this process's."""
    mapping = getattr(stored, "_mmap", None)
    if isinstance(mapping, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        mapping.madvise(mmap.MADV_DONTNEED)

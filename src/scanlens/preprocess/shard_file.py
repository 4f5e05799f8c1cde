"""One shard of a store: a NumPy file of uint16 rows, whole under its name or absent."""

from __future__ import annotations

import io
import math
import threading
import weakref
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from scanlens.atomic import beside
from scanlens.types import ImageArray

StoredArray = npt.NDArray[np.uint16]

SCALE = 65535
"""Stored value of 1.0."""
DTYPE = np.dtype("<u2")


def quantise(image: ImageArray) -> StoredArray:
    """Turn values in [0, 1] into stored ones, uint16, the same shape.

    Raises:
        ValueError: A value outside [0, 1].
    """
    if not (image.min() >= 0 and image.max() <= 1):
        raise ValueError(f"expected values in [0, 1], got {image.min()} to {image.max()}")
    return np.rint(image * SCALE).astype(DTYPE)


def shard_path(folder: Path, number: int) -> Path:
    """Name of a shard."""
    return folder / f"shard-{number:05d}.npy"


def shard_header(rows: int, shape: tuple[int, ...]) -> bytes:
    """What stands in a shard's file before its rows.

    Its length depends on the shape alone: NumPy pads headers for the first axis to grow in place.
    """
    file = io.BytesIO()
    header = {"descr": DTYPE.str, "fortran_order": False, "shape": (rows, *shape)}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue()


def row_bytes(shape: tuple[int, ...]) -> int:
    """Size of a stored row of ``(channel, *spatial)``."""
    return math.prod(shape) * DTYPE.itemsize


class ShardWriter:
    """Write one shard row by row; it has its name once it is whole.

    Leaving the ``with`` block before :meth:`finish` leaves nothing.

    Args:
        path: The shard's file.
        shape: ``(channel, *spatial)`` of every row.
    """

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        self.path = path
        self.shape = shape
        self.rows = 0
        self._temporary = beside(path)
        self._file = self._temporary.open("wb")
        self._file.write(shard_header(0, shape))

    def __enter__(self) -> ShardWriter:
        """Return the writer."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Drop a shard that was not finished."""
        self.discard()

    def append(self, row: bytes) -> None:
        """Add the bytes of one :func:`quantise`-d row.

        Raises:
            OSError: The disk is full, most likely.
        """
        self._file.write(row)
        self.rows += 1

    def finish(self) -> None:
        """Give the file its name."""
        self._file.seek(0)
        self._file.write(shard_header(self.rows, self.shape))
        self._file.close()
        self._temporary.replace(self.path)

    def discard(self) -> None:
        """Remove a file that has no name yet."""
        # Closing writes what is buffered, which fails on a full disk: the file goes all the same.
        try:
            self._file.close()
        finally:
            self._temporary.unlink(missing_ok=True)


class ShardReader:
    """Read a shard row by row, from any number of threads.

    Not through a memory map: each page of one costs a fault before it is read, and rows are read in no order.

    Args:
        path: The shard's file.
        shape: ``(channel, *spatial)`` of every row.
    """

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        self.path = path
        self._start = len(shard_header(0, shape))
        self._size = row_bytes(shape)
        self._file = path.open("rb", buffering=0)
        self._place = threading.Lock()
        # Closed when the last thread is done with it, whoever has let go of it meanwhile.
        weakref.finalize(self, self._file.close)

    def read(self, row: int, into: StoredArray) -> None:
        """Read one row.

        Args:
            row: Its number in the shard.
            into: Receives it, ``(channel, *spatial)``.

        Raises:
            OSError: It cannot be read, or the file ends before its end.
        """
        with self._place:
            self._file.seek(self._start + row * self._size)
            read = self._file.readinto(into.data)
        if read != self._size:
            raise OSError(f"{self.path}: ends within row {row}")

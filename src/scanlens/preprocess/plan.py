"""Which scans make which shard: decided by the manifest and the settings alone, never by the machine."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from scanlens.preprocess.cache import ShardCache, row_key
from scanlens.preprocess.preprocessor import Preprocessor
from scanlens.preprocess.shard_file import row_bytes, shard_path
from scanlens.preprocess.shards import RowTask, ShardTask

MOST_SHARD_BYTES = 64 << 20
"""Size from which a shard has fewer rows than the settings allow."""
_SHARDS_WANTED = 64
"""Shards that keep the processes of a large machine evenly busy."""
_FEWEST_ROWS = 8
"""Rows from which a shard is worth a file."""
_FILE_PIXELS = 100_000
"""What opening, hashing and parsing a file costs, as pixels of decoding."""


def rows_per_shard(scans: int, most: int, shape: tuple[int, ...]) -> int:
    """Choose how many rows a shard has.

    A small set is cut finer than ``most``, so that several processes have something to do and little is lost
    by a kill. The steps are powers of two: a few more scans leave the cuts where they were.

    Args:
        scans: Rows in all.
        most: ``preprocess.shard_rows``.
        shape: ``(channel, *spatial)`` of a row.
    """
    even = 1 << max(math.ceil(scans / _SHARDS_WANTED) - 1, 0).bit_length()
    return min(most, max(even, _FEWEST_ROWS), max(MOST_SHARD_BYTES // row_bytes(shape), 1))


class ShardPlan:
    """The shards of a run, in order. Iterating makes one task at a time.

    Args:
        accepted: The manifest's accepted rows: path, sha256, shape, channels, and pixel_sha256 if known.
        root: The data root.
        output: The store's folder.
        preprocessor: What each scan goes through.
        most: ``preprocess.shard_rows``.
        cache: Finished shards of earlier runs, or None.
    """

    def __init__(
        self,
        accepted: pd.DataFrame,
        root: Path,
        output: Path,
        preprocessor: Preprocessor,
        most: int,
        cache: ShardCache | None,
    ) -> None:
        shape = (preprocessor.channels, *preprocessor.size)
        self.shard_rows = rows_per_shard(len(accepted), most, shape)
        self._accepted = accepted
        # Processes, and nodes of a cluster, have working folders of their own.
        self._root, self._output = root.absolute(), output.absolute()
        self._preprocessor = preprocessor
        self._cache = cache
        pixels = accepted.get("pixel_sha256", pd.Series("", index=accepted.index))
        self._keys = [row_key(*content) for content in zip(accepted["sha256"], pixels, strict=True)]
        self._places = cache.places(set(self._keys)) if cache is not None else {}

    def __len__(self) -> int:
        """Shards."""
        return math.ceil(len(self._keys) / self.shard_rows)

    def __iter__(self) -> Iterator[ShardTask]:
        """Yield the task of each shard."""
        return map(self.task, range(len(self)))

    def task(self, number: int) -> ShardTask:
        """What a process needs to make a shard."""
        part = slice(number * self.shard_rows, (number + 1) * self.shard_rows)
        scans = zip(
            self._accepted["path"].iloc[part],
            self._accepted["sha256"].iloc[part],
            self._keys[part],
            strict=True,
        )
        rows = tuple(RowTask(path, sha256, key, self._places.get(key)) for path, sha256, key in scans)
        return ShardTask(self._root, rows, self._preprocessor, shard_path(self._output, number), self._cache)

    def pixels_to_decode(self) -> int:
        """Pixels of the scans that the cache does not have; every file counts as some more."""
        sizes = zip(self._keys, self._accepted["shape"], self._accepted["channels"], strict=True)
        return sum(
            math.prod(map(int, shape)) * max(int(channels), 1) + _FILE_PIXELS
            for key, shape, channels in sizes
            if key not in self._places
        )

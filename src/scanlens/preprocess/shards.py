"""Making one shard: all of it happens in the process that writes the file; only facts go back."""

from __future__ import annotations

import contextlib
import sys
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from scanlens.errors import UnreadableScan
from scanlens.preprocess.cache import Place, ShardCache
from scanlens.preprocess.preprocessor import Preprocessor
from scanlens.preprocess.shard_file import ShardWriter, quantise
from scanlens.scaling.heap import keep_freed_memory
from scanlens.sources.read import read_scan
from scanlens.sources.readers.quiet import quiet


@dataclass(frozen=True)
class RowTask:
    """One scan of a shard.

    Attributes:
        reference: Where it is, relative to the data root.
        sha256: Its content in the manifest.
        key: :func:`scanlens.preprocess.cache.row_key`.
        cached: Where the cache has its row, or None.
    """

    reference: str
    sha256: str
    key: str
    cached: Place | None


@dataclass(frozen=True)
class ShardTask:
    """What a process needs to make a shard.

    Attributes:
        root: The data root.
        rows: The scans, in order.
        preprocessor: What each of them goes through.
        target: The file to write.
        cache: Finished shards of earlier runs, or None.
        refused: Why a scan is left out unread, by its place.
    """

    root: Path
    rows: tuple[RowTask, ...]
    preprocessor: Preprocessor
    target: Path
    cache: ShardCache | None
    refused: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ShardFacts:
    """What became of a shard.

    Attributes:
        kept: Keys of the rows it has, in order.
        left_out: Why a scan is not among them, by its place in the task.
        decoded: Rows made from their scans.
        copied: Rows copied from shards of an earlier run.
        linked: Whether the whole shard is one of an earlier run.
    """

    kept: tuple[str, ...]
    left_out: dict[int, str]
    decoded: int
    copied: int
    linked: bool


def make_shard(task: ShardTask) -> ShardFacts:
    """Write a shard, from the cache as far as it goes, and keep it there.

    Raises:
        OSError: The disk is full, most likely. Nothing is left under the shard's name.
    """
    keep_freed_memory()
    keys = tuple(row.key for row in task.rows)
    if task.cache is not None and not task.refused and task.cache.take(keys, task.target):
        return ShardFacts(keys, {}, 0, 0, True)
    shape = (task.preprocessor.channels, *task.preprocessor.size)
    kept, checksums = [], []
    left_out = dict(task.refused)
    copied = 0
    with quiet(), ShardWriter(task.target, shape) as shard:
        for place, row in enumerate(task.rows):
            if place in task.refused:
                continue
            content = task.cache.read(row.cached) if task.cache is not None and row.cached else None
            if content is not None:
                copied += 1
            else:
                try:
                    content = _decode(task.root, row, task.preprocessor)
                except UnreadableScan as error:
                    left_out[place] = error.reason
                    continue
            shard.append(content)
            kept.append(row.key)
            checksums.append(zlib.crc32(content))
        shard.finish()
    if task.cache is not None and kept:
        task.cache.put(task.target, kept, checksums)
    return ShardFacts(tuple(kept), left_out, len(kept) - copied, copied, False)


def try_scan(task: ShardTask) -> None:
    """Make the rows of a task and drop them: what that does to this process is all that is asked.

    A scan that is left out with a reason is none that ends or delays its process.
    """
    with quiet():
        for row in task.rows:
            with contextlib.suppress(UnreadableScan):
                _decode(task.root, row, task.preprocessor)


def _decode(root: Path, row: RowTask, preprocessor: Preprocessor) -> bytes:
    """Read and preprocess one scan.

    Raises:
        UnreadableScan: It can't be read now, or is not the one in the manifest.
    """
    # Its content is what the manifest has accepted under its limits, so that its size needs no second one.
    scan = read_scan(root, row.reference, dims=preprocessor.dims, max_pixels=sys.maxsize, sha256=row.sha256)
    return quantise(preprocessor.apply(scan, row.reference)).tobytes()

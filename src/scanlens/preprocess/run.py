"""Preprocess every accepted scan of a manifest into a store."""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import pandas as pd
from tqdm import tqdm

from scanlens.atomic import write_json
from scanlens.config.schema import Preprocess
from scanlens.errors import ScanlensError, SettingsError, UnreadableScan
from scanlens.manifest.columns import OK
from scanlens.preprocess.preprocessor import Preprocessor, resolve
from scanlens.preprocess.statistics import write_statistics
from scanlens.preprocess.store import Store, StoreWriter
from scanlens.sources.read import content_sha256, read_scan
from scanlens.types import ImageArray

KEPT_COLUMNS = [
    "scan_id",
    "patient",
    "label",
    "split",
    "site",
    "path",
    "mask",
    "modality",
    "shape",
    "spacing",
]
"""Columns of the manifest that the store's index keeps."""
_IN_FLIGHT = 4
"""Scans a worker may be ahead of the writer: bounds the memory."""
_TRIAL = 16
"""Scans that show how long one takes."""
_WORTH_A_POOL_S = 15.0
"""Seconds of work from which starting processes (about 5 s, mostly imports) pays."""


@dataclass(frozen=True)
class _Task:
    """What a worker needs for one scan."""

    root: Path
    path: str
    sha256: str
    preprocessor: Preprocessor


def preprocess(
    manifest: pd.DataFrame,
    root: Path,
    source: dict[str, Any],
    config: Preprocess,
    output: Path,
    workers: int,
) -> dict[str, Any]:
    """Write the store, its statistics and preprocessor.json.

    A scan that has changed since the manifest, or cannot be read now, is left out and named in the facts.

    Args:
        manifest: The manifest's rows; those with status ok are stored, in their order.
        root: The data root.
        source: ``dims`` and ``labels`` of the data set.
        config: The settings.
        output: The store's folder.
        workers: Processes that decode where there is much to do; 1 = this one. The bytes written do not
            depend on it.

    Returns:
        ``stored``, ``left_out`` (path and reason each), ``splits`` (scans a split), ``shape``,
        ``bytes``, ``preprocessor`` and ``statistics``.

    Raises:
        SettingsError: A setting is out of range, or nothing is left of a class or a split.
        ScanlensError: A worker process was killed.
    """
    preprocessor = resolve(config, manifest, source["dims"])
    accepted = manifest[manifest["status"] == OK]
    tasks = (
        _Task(root, path, sha256, preprocessor)
        for path, sha256 in zip(accepted["path"], accepted["sha256"], strict=True)
    )
    stored, left_out = [], []
    shape = (preprocessor.channels, *preprocessor.size)
    with StoreWriter(output, shape, list(source["labels"]), config.shard_rows) as writer:
        results = tqdm(
            _results(tasks, len(accepted), workers), total=len(accepted), desc="preprocess", unit="scan"
        )
        for row, result in enumerate(results):
            if isinstance(result, str):
                left_out.append({"path": accepted["path"].iloc[row], "reason": result})
            else:
                writer.append(result)
                stored.append(row)
        index = accepted.iloc[stored][KEPT_COLUMNS]
        _check_remainder(accepted, index, left_out)
        writer.close(index)
    write_json(output / "preprocessor.json", preprocessor.to_json())
    statistics = write_statistics(Store.open(output))
    return {
        "stored": len(index),
        "left_out": left_out,
        "splits": {str(split): int(count) for split, count in index["split"].value_counts().items()},
        "shape": list(shape),
        "bytes": sum(path.stat().st_size for path in output.glob("shard-*.npy")),
        "preprocessor": preprocessor.to_json(),
        "statistics": statistics,
    }


def _prepare(task: _Task) -> ImageArray | str:
    """Preprocess one scan, or say why not. Runs in a worker."""
    try:
        if content_sha256(task.root, task.path) != task.sha256:
            return "changed: its content is another than in the manifest"
        # Its content is what the manifest has accepted, so that its size needs no second limit.
        dims = task.preprocessor.dims
        scan = read_scan(task.root, task.path, dims=dims, max_pixels=sys.maxsize)
        return task.preprocessor.apply(scan, task.path)
    except UnreadableScan as error:
        return error.reason


def _results(tasks: Iterator[_Task], number: int, workers: int) -> Iterator[ImageArray | str]:
    """Results in the order of the tasks.

    The first ones are made here; other processes are started only if the rest would take long enough.

    Args:
        tasks: The scans.
        number: How many.
        workers: Processes, if any are started.
    """
    if workers > 1:
        started = time.perf_counter()
        yield from map(_prepare, islice(tasks, _TRIAL))
        seconds_left = (time.perf_counter() - started) / _TRIAL * max(number - _TRIAL, 0)
        if seconds_left > _WORTH_A_POOL_S:
            yield from _pooled(tasks, workers)
            return
    yield from map(_prepare, tasks)


def _pooled(tasks: Iterator[_Task], workers: int) -> Iterator[ImageArray | str]:
    """Results in the order of the tasks, made by processes at most ``_IN_FLIGHT`` scans each ahead of use."""
    # Forking a process that has threads (Arrow, OpenCV) may hang: spawn.
    context = multiprocessing.get_context("spawn")
    waiting: deque[Future[ImageArray | str]] = deque()
    try:
        with ProcessPoolExecutor(
            workers, mp_context=context, initializer=cv2.setNumThreads, initargs=(1,)
        ) as pool:
            for task in tasks:
                waiting.append(pool.submit(_prepare, task))
                if len(waiting) >= workers * _IN_FLIGHT:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise ScanlensError(
            "preprocess: a worker process was killed, most likely for want of memory.",
            "Set runtime.workers=1.",
        ) from error


def _check_remainder(accepted: pd.DataFrame, index: pd.DataFrame, left_out: list[dict[str, str]]) -> None:
    """Refuse a store that lacks a split, a class, or a class of the training split, that the manifest has."""
    train, left_train = (table[table["split"] == "train"] for table in (accepted, index))
    for what, before, after in (
        ("split", accepted["split"], index["split"]),
        ("class", accepted["label"], index["label"]),
        ("training class", train["label"], left_train["label"]),
    ):
        gone = sorted(set(before) - set(after))
        if gone:
            raise SettingsError(
                f"preprocess: no scan of {what} {gone[0]} is left; {len(left_out)} were left out, "
                f"e.g. {left_out[0]['path']}: {left_out[0]['reason']}.",
                "Restore the files and run the manifest stage again.",
            )

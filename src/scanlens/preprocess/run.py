"""Preprocess every accepted scan of a manifest into a store.

Each shard is made whole by one process and kept in a cache, so that a run may be killed at any time and
started again, and another run on mostly the same scans decodes the new ones only.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from scanlens.atomic import write_json
from scanlens.config.schema import Preprocess
from scanlens.errors import ScanlensError, SettingsError, shortage
from scanlens.manifest.columns import OK
from scanlens.preprocess.cache import open_cache, shard_key
from scanlens.preprocess.plan import ShardPlan
from scanlens.preprocess.preprocessor import resolve_preprocessor
from scanlens.preprocess.range_check import range_warnings
from scanlens.preprocess.shards import ShardFacts, ShardTask, make_shard, try_scan
from scanlens.preprocess.statistics import write_statistics
from scanlens.preprocess.store import Store
from scanlens.preprocess.store_files import DEFAULT_TASK, Description, clear_store, describe_store
from scanlens.scaling.engine import IN_PROCESS, Engine, Failed, Limits, map_ordered
from scanlens.scaling.opencv import one_thread
from scanlens.tasks import task_of

KEPT_COLUMNS = [
    "scan_id",
    "patient",
    "group",
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
POOL_FROM_PIXELS = 600_000_000
"""Pixels to decode from which starting processes pays: what one decodes in about the time of the start."""
SECONDS_A_ROW = 10
"""Wall-clock seconds a shard may take for each of its scans on average."""
SECONDS_ALONE = 300
"""Seconds that one scan may take; a shard has them on top."""
_ANY_MEMORY_MIB = 1 << 20
"""A TiB: as good as no limit."""


@dataclass
class _Progress:
    """What the shards so far have come to.

    Attributes:
        shards: Rows of each.
        keys: Of each shard in the cache.
        stored: Places of the stored scans among the accepted ones.
        left_out: Why others are not, by place.
        counts: ``decoded``, ``reused_rows`` and ``reused_shards``.
    """

    shards: list[int] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    stored: list[int] = field(default_factory=list)
    left_out: dict[int, str] = field(default_factory=dict)
    counts: dict[str, int] = field(
        default_factory=lambda: {"decoded": 0, "reused_rows": 0, "reused_shards": 0}
    )

    def add(self, facts: ShardFacts) -> int:
        """Take in the next shard and return the scans it was made of."""
        start = len(self.stored) + len(self.left_out)
        scans = len(facts.kept) + len(facts.left_out)
        self.left_out.update({start + place: reason for place, reason in facts.left_out.items()})
        self.stored.extend(start + place for place in range(scans) if place not in facts.left_out)
        self.shards.append(len(facts.kept))
        self.keys.add(shard_key(facts.kept))
        self.counts["decoded"] += facts.decoded
        self.counts["reused_rows"] += facts.copied
        self.counts["reused_shards"] += facts.linked
        return scans


def preprocess(
    manifest: pd.DataFrame,
    root: Path,
    source: dict[str, Any],
    config: Preprocess,
    output: Path,
    engine: Engine = IN_PROCESS,
    *,
    cache: Path | None = None,
) -> dict[str, Any]:
    """Write the store, its statistics and preprocessor.json.

    A scan that has changed since the manifest, cannot be read now, or ends or blocks a process of its own,
    is left out and named in the facts. A scan whose row the cache has is not read at all: its row is the one
    of the content in the manifest.

    Args:
        manifest: The manifest's rows; those with status ok are stored, in their order.
        root: The data root.
        source: ``dims``, ``labels`` and ``task`` of the data set.
        config: The settings.
        output: The store's folder.
        engine: Where the scans are decoded if there is much to do. The bytes written do not depend on it.
        cache: Folder of finished shards, best on the output's file system; None keeps none.

    Returns:
        ``stored``, ``left_out`` (path and reason each), ``splits`` (scans a split), ``shape``, ``bytes``,
        ``decoded`` and ``reused_rows`` (scans), ``reused_shards``, ``preprocessor``, ``statistics``,
        ``warnings`` (sentences: :func:`scanlens.preprocess.range_check.range_warnings`) and ``seconds`` of
        each part.

    Raises:
        SettingsError: A setting is out of range, or nothing is left of a class or a split.
        ScanlensError: Worker processes fail at every scan of a shard, or the disk is full.
    """
    preprocessor = resolve_preprocessor(config, manifest, source["dims"])
    shape = (preprocessor.channels, *preprocessor.size)
    accepted = manifest[manifest["status"] == OK]
    started = time.perf_counter()
    with ExitStack() as stack:
        stack.enter_context(_full_disk_explained(output, cache is not None))
        stack.enter_context(_nothing_half_written(output))
        clear_store(output)
        entries, pruner = None, None
        if cache is not None:
            entries, pruner = stack.enter_context(open_cache(cache, preprocessor))
        plan = ShardPlan(accepted, root, output, preprocessor, config.shard_rows, entries)
        planned = time.perf_counter()
        progress = _make_shards(plan, len(accepted), engine)
        left_out = [
            {"path": accepted["path"].iloc[place], "reason": reason}
            for place, reason in progress.left_out.items()
        ]
        index = accepted.iloc[progress.stored][KEPT_COLUMNS]
        task = source.get("task", DEFAULT_TASK)
        _check_remainder(accepted, index, left_out, task)
        describe_store(output, Description(shape, list(source["labels"]), progress.shards, task), index)
        write_json(output / "preprocessor.json", preprocessor.to_json())
        made = time.perf_counter()
        store = Store.open(output)
        statistics = write_statistics(store, config.range)
        warnings = range_warnings(store)
        if pruner is not None:
            pruner.prune(progress.keys)
    return {
        "stored": len(index),
        "left_out": left_out,
        "splits": {str(split): int(count) for split, count in index["split"].value_counts().items()},
        "shape": list(shape),
        "bytes": sum(path.stat().st_size for path in output.glob("shard-*.npy")),
        **progress.counts,
        "preprocessor": preprocessor.to_json(),
        "statistics": statistics,
        "warnings": warnings,
        "seconds_by_step": {
            "plan": round(planned - started, 2),
            "shards": round(made - planned, 2),
            "statistics": round(time.perf_counter() - made, 2),
        },
    }


def _make_shards(plan: ShardPlan, scans: int, engine: Engine) -> _Progress:
    """Make every shard, in order, on a progress bar that counts scans."""
    if engine.kind == "local" and plan.pixels_to_decode() < POOL_FROM_PIXELS:
        engine = replace(engine, workers=0)
    progress = _Progress()
    limits = _limits(SECONDS_ALONE + SECONDS_A_ROW * plan.shard_rows)
    with tqdm(total=scans, desc="preprocess", unit="scan") as bar, one_thread():
        for number, facts in enumerate(
            map_ordered(make_shard, plan, engine=engine, limits=limits, total=len(plan))
        ):
            done = _make_again(plan.task(number), facts) if isinstance(facts, Failed) else facts
            if isinstance(done, Failed):
                first = number * plan.shard_rows
                raise ScanlensError(
                    f"preprocess: worker processes failed ({done.reason}) at the accepted scans "
                    f"{first} to {min(first + plan.shard_rows, scans) - 1}, alone as well as together.",
                    "Where memory is short, free some, or set runtime.workers=1, and run again.",
                )
            bar.update(progress.add(done))
    return progress


def _make_again(task: ShardTask, failed: Failed) -> ShardFacts | Failed:
    """Make a shard whose process was ended, without the scans that end a process of their own too.

    Each is tried alone, one at a time: what fails then does not fail for its neighbours' sake.

    Returns:
        The first failure where no scan gets through: that is no matter of single scans.
    """
    alone = Engine("local", 1, None)
    tries = [replace(task, rows=(row,)) for row in task.rows]
    limits = _limits(SECONDS_ALONE)
    outcomes = enumerate(map_ordered(try_scan, tries, engine=alone, limits=limits))
    refused = {place: outcome.reason for place, outcome in outcomes if isinstance(outcome, Failed)}
    if len(refused) == len(task.rows):
        return failed
    limits = _limits(SECONDS_ALONE * len(task.rows))
    return next(map_ordered(make_shard, [replace(task, refused=refused)], engine=alone, limits=limits))


def _limits(seconds: float) -> Limits:
    """Of time alone: how much memory a shard may take, the machine says."""
    return Limits(seconds, _ANY_MEMORY_MIB)


@contextmanager
def _nothing_half_written(output: Path) -> Iterator[None]:
    """Remove what worker processes were at that were ended, by an error or with their node."""
    try:
        yield
    finally:
        for unfinished in output.glob(".shard-*.part"):
            unfinished.unlink(missing_ok=True)


@contextmanager
def _full_disk_explained(output: Path, resumes: bool) -> Iterator[None]:
    """Turn the system's error about a full disk into one a person can act on."""
    try:
        yield
    except OSError as error:
        if shortage(error) != "disk":
            raise
        raise ScanlensError(
            f"preprocess: no room left where {output} is written.",
            "Free some space, or choose a smaller preprocess.size, and run again"
            + (": finished shards are kept." if resumes else "."),
        ) from error


def _check_remainder(
    accepted: pd.DataFrame, index: pd.DataFrame, left_out: list[dict[str, str]], task: str
) -> None:
    """Refuse a store that lacks a split, a class, or a class of the training split, that the manifest has."""
    train, left_train = (table[table["split"] == "train"] for table in (accepted, index))
    classes = [
        ("class", accepted["label"], index["label"]),
        ("training class", train["label"], left_train["label"]),
    ]
    split = ("split", accepted["split"], index["split"])
    for what, before, after in [split, *(classes if task_of(task).has_classes else [])]:
        gone = sorted(set(before) - set(after))
        if gone:
            raise SettingsError(
                f"preprocess: no scan of {what} {gone[0]} is left; {len(left_out)} were left out, "
                f"e.g. {left_out[0]['path']}: {left_out[0]['reason']}.",
                "Restore the files and run the manifest stage again.",
            )

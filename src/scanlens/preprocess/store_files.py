"""What a store's folder holds besides its shards: the index and the description, written and checked.

A store is a folder: ``shard-00000.npy``… (NumPy format, uint16, ``(row, channel, *spatial)``, value =
round(65535 x) for x in [0, 1]), ``index.parquet`` (one row per scan, in the order of the rows) and
``store.json``, which lists the rows of each shard and is written last: a folder without it is no store.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from scanlens.atomic import replacing, write_json
from scanlens.errors import SettingsError
from scanlens.preprocess.shard_file import DTYPE, SCALE, row_bytes, shard_header, shard_path
from scanlens.tasks import task_of

_VERSION = 2
"""Of the format; 1 had shards of equal length."""
INDEX_COLUMNS = ("scan_id", "patient", "label", "split", "site", "path")
"""What every index has; it may have more."""
DEFAULT_TASK = "multiclass"
"""Of stores that do not say."""


@dataclass(frozen=True)
class Description:
    """What ``store.json`` says.

    Attributes:
        shape: ``(channel, *spatial)`` of every row.
        labels: The classes in order; for task ``regression`` the number's name alone.
        shards: Rows of each shard.
        task: What the labels are, as ``data.task`` without ``auto``.
    """

    shape: tuple[int, ...]
    labels: list[str]
    shards: Sequence[int]
    task: str = DEFAULT_TASK

    @property
    def rows(self) -> int:
        """Of all shards."""
        return sum(self.shards)


def clear_store(folder: Path) -> None:
    """Remove a store's files, whole or begun; make the folder if it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("store.json", "index.parquet", "statistics.json", "preprocessor.json", "range.png"):
        (folder / name).unlink(missing_ok=True)
    for pattern in ("shard-*.npy", ".shard-*.part"):
        for shard in folder.glob(pattern):
            shard.unlink()


def check_index(index: pd.DataFrame, description: Description) -> None:
    """Compare an index with what it describes.

    Raises:
        ValueError: Another number of rows, a missing column, or a label beside the labels or, for task
            ``regression``, that is no number.
    """
    missing = [name for name in INDEX_COLUMNS if name not in index.columns]
    if missing or len(index) != description.rows:
        raise ValueError(
            f"an index of {len(index)} rows without {missing} does not fit {description.rows} arrays"
        )
    unknown = task_of(description.task).unknown(index["label"], description.labels)
    if unknown:
        raise ValueError(f"labels {unknown} are none of {description.labels}")


def describe_store(folder: Path, description: Description, index: pd.DataFrame) -> None:
    """Write the index and, last, ``store.json``: the shards in the folder become a store.

    Args:
        folder: Holds the shards.
        description: Of the shards.
        index: One row per stored array, in the order of the shards; at least :data:`INDEX_COLUMNS`.

    Raises:
        ValueError: The index does not fit.
    """
    check_index(index, description)
    with replacing(folder / "index.parquet") as temporary:
        index.reset_index(drop=True).to_parquet(temporary, index=False, compression="zstd")
    content = {
        "version": _VERSION,
        "shape": list(description.shape),
        "dtype": DTYPE.name,
        "scale": SCALE,
        "rows": description.rows,
        "shards": list(description.shards),
        "labels": description.labels,
        "task": description.task,
    }
    write_json(folder / "store.json", content)


def read_description(folder: Path) -> tuple[Description, pd.DataFrame]:
    """The description and the index of a store, after comparing its files with both.

    Raises:
        SettingsError: The folder is no store, or a file of it is missing or of another size.
    """
    remedy = f"Run the stage that writes {folder} again."
    try:
        content = json.loads((folder / "store.json").read_text(encoding="utf-8"))
        rows = int(content["rows"])
        description = Description(
            shape=tuple(int(side) for side in content["shape"]),
            labels=[str(label) for label in content["labels"]],
            shards=[int(count) for count in content["shards"]],
            # Stores of before there were tasks held classes.
            task=str(content.get("task", DEFAULT_TASK)),
        )
        kept = (content["version"], content["dtype"], content["scale"])
    except FileNotFoundError as error:
        raise SettingsError(f"{folder}: no store here (no store.json).", remedy) from error
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsError(f"{folder / 'store.json'}: damaged: {error!r}.", remedy) from error
    sound = min(description.shape, default=0) >= 1 and min(description.shards, default=0) >= 0
    if kept != (_VERSION, DTYPE.name, SCALE) or not sound or description.rows != rows:
        raise SettingsError(f"{folder / 'store.json'}: describes no store this scanlens reads.", remedy)
    _check_shards(folder, description, remedy)
    try:
        index = pd.read_parquet(folder / "index.parquet")
    except (OSError, ValueError) as error:
        raise SettingsError(f"{folder / 'index.parquet'}: cannot be read: {error}.", remedy) from error
    try:
        check_index(index, description)
    except ValueError as error:
        raise SettingsError(f"{folder / 'index.parquet'}: {error}.", remedy) from error
    return description, index


def _check_shards(folder: Path, description: Description, remedy: str) -> None:
    """Compare each shard's header and size on disk with the description."""
    shape = description.shape
    for number, rows in enumerate(description.shards):
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

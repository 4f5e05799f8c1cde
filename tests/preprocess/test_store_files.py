"""A store's description is read as it was written; what does not fit it is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from scanlens.errors import SettingsError
from scanlens.preprocess.store import Store, StoreWriter
from scanlens.preprocess.store_files import (
    INDEX_COLUMNS,
    Description,
    check_index,
    clear_store,
    read_description,
)

WriteStore = Callable[..., Any]


def index_of(*labels: str) -> pd.DataFrame:
    rows = [{**dict.fromkeys(INDEX_COLUMNS, "a"), "label": label} for label in labels]
    return pd.DataFrame(rows, columns=list(INDEX_COLUMNS))


def test_the_description_is_read_as_it_was_written(tmp_path: Path, write_store: WriteStore) -> None:
    write_store(tmp_path)
    description, index = read_description(tmp_path)
    assert description == Description((2, 3, 5), ["a", "b"], [4, 4, 2], "multiclass")
    assert description.rows == len(index) == 10
    assert index["scan_id"].tolist() == [f"id{row}" for row in range(10)]


def test_a_store_that_does_not_say_its_task_holds_classes(tmp_path: Path, write_store: WriteStore) -> None:
    write_store(tmp_path)
    content = json.loads((tmp_path / "store.json").read_text())
    del content["task"]
    (tmp_path / "store.json").write_text(json.dumps(content))
    assert read_description(tmp_path)[0].task == "multiclass"


def test_clearing_takes_the_store_and_what_was_begun_and_leaves_the_rest(
    tmp_path: Path, write_store: WriteStore
) -> None:
    folder = tmp_path / "new" / "store"
    clear_store(folder)
    write_store(folder)
    for name in (".shard-00007.npy.part", "statistics.json", "preprocessor.json", "notes.txt"):
        (folder / name).touch()
    clear_store(folder)
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_labels_of_a_regression_are_numbers() -> None:
    description = Description((1, 2, 2), ["age"], [2], "regression")
    check_index(index_of("1.5", "-2e3"), description)
    with pytest.raises(ValueError, match=r"\['old'\] are none of"):
        check_index(index_of("1.5", "old"), description)
    with pytest.raises(ValueError, match="none of"):
        check_index(index_of("1.5", "2"), Description((1, 2, 2), ["age"], [2], "multiclass"))


def test_an_index_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    row = dict.fromkeys(("scan_id", "patient", "label", "split", "site", "path"), "a")
    with StoreWriter(tmp_path, (1, 1, 1), ["a"], 4) as writer:
        writer.append(np.zeros((1, 1, 1), np.float32))
        for index in ([row, row], [{"scan_id": "a", "label": "a"}], [{**row, "label": "z"}]):
            with pytest.raises(ValueError, match=r"does not fit|none of"):
                writer.close(pd.DataFrame(index))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("shard-00001.npy", cut),
        ("shard-00001.npy", Path.unlink),
        ("shard-00002.npy", lambda path: path.write_bytes(b"")),
        ("shard-00000.npy", lambda path: np.save(path, np.zeros((4, 2, 3, 5), np.float32))),
        ("index.parquet", cut),
        ("index.parquet", Path.unlink),
        ("index.parquet", lambda path: pd.read_parquet(path)[:9].to_parquet(path)),
        ("index.parquet", lambda path: pd.read_parquet(path).drop(columns="split").to_parquet(path)),
        ("store.json", Path.unlink),
        ("store.json", cut),
        ("store.json", lambda path: edit(path, shape=[2, 3, 6])),
        ("store.json", lambda path: edit(path, rows=11)),
        ("store.json", lambda path: edit(path, version=1)),
        ("store.json", lambda path: edit(path, shards=[4, 4, 1])),
        ("store.json", lambda path: edit(path, shards=[4, 3, 3])),
        ("store.json", lambda path: edit(path, shards=[4, 7, -1])),
        ("store.json", lambda path: edit(path, labels=["a"])),
        ("store.json", lambda path: path.write_text("{}")),
    ],
)
def test_a_damaged_store_is_refused_with_the_remedy(
    tmp_path: Path, write_store: WriteStore, name: str, damage: Callable[[Path], Any]
) -> None:
    write_store(tmp_path)
    Store.open(tmp_path)
    damage(tmp_path / name)
    with pytest.raises(SettingsError, match="Run the stage that writes"):
        Store.open(tmp_path)

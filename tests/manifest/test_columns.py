"""The manifest keeps to its columns, in memory and on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from scanlens.errors import SettingsError
from scanlens.manifest.columns import COLUMNS, check_columns, read_manifest, write_table

EMPTY: dict[str, Any] = {"text": "", "integer": 1, "integers": [3, 4], "numbers": []}


@pytest.fixture
def manifest() -> pd.DataFrame:
    rows = [{name: EMPTY[column.kind] for name, column in COLUMNS.items()} for _ in range(2)]
    rows[0]["scan_id"], rows[1]["scan_id"] = "one", "two"
    rows[1]["spacing"] = [0.5, 1.0]
    return pd.DataFrame(rows)


def test_round_trip_and_same_bytes(manifest: pd.DataFrame, tmp_path: Path) -> None:
    write_table(manifest, tmp_path / "a.parquet")
    write_table(manifest.copy(), tmp_path / "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    again = read_manifest(tmp_path / "a.parquet")
    assert again.to_dict("records") == manifest.to_dict("records")
    by_pandas = pd.read_parquet(tmp_path / "a.parquet")
    assert by_pandas["shape"].map(list).tolist() == [[3, 4], [3, 4]]


def test_wrong_tables_are_refused(manifest: pd.DataFrame) -> None:
    check_columns(manifest)
    wrong = {
        "missing columns \\['site'\\]": manifest.drop(columns="site"),
        "unknown columns \\['extra'\\]": manifest.assign(extra=1),
        "another type": manifest.assign(bits="many"),
        "column label has missing values": manifest.assign(label=pd.Series([None, "a"], dtype=object)),
        "scan_id one is not unique": manifest.assign(scan_id="one"),
    }
    for reason, table in wrong.items():
        with pytest.raises(SettingsError, match=reason):
            check_columns(table)


def test_an_absent_or_damaged_file_names_the_stage(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="Run the manifest stage first"):
        read_manifest(tmp_path / "manifest.parquet")
    (tmp_path / "manifest.parquet").write_bytes(b"PAR1")
    with pytest.raises(SettingsError, match="Run the manifest stage again"):
        read_manifest(tmp_path / "manifest.parquet")

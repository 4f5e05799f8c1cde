"""Rows of workers become one table; tags and dates stay in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from scanlens.errors import SettingsError
from scanlens.manifest import collect as module
from scanlens.manifest.collect import Notes, collect, metadata_table
from scanlens.manifest.columns import COLUMNS, check_columns
from scanlens.manifest.examine import Examined
from scanlens.manifest.near_copies.thumbnails import SIDE


def examined(number: int, **changes: Any) -> Examined:
    facts: dict[str, Any] = dict.fromkeys(COLUMNS, "")
    facts |= {"scan_id": f"x{number}", "fold": -1, "channels": 1, "bits": 8, "shape": [4, 5], "spacing": []}
    facts |= {"path": f"{number}.png", "sha256": f"{number % 3:064x}", "status": "ok", "label": "a"}
    beside = {key: changes.pop(key) for key in list(changes) if key not in COLUMNS}
    return Examined({**facts, **changes}, np.full((SIDE, SIDE), number, np.uint8), **beside)


def test_chunks_make_one_table_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CHUNK", 4)
    thumbnails = np.zeros((11, SIDE, SIDE), np.uint8)
    manifest, notes = collect((examined(n, date=f"2{n:03d}") for n in range(11)), 11, thumbnails)
    check_columns(manifest)
    assert manifest["path"].tolist() == [f"{n}.png" for n in range(11)]
    assert (thumbnails[:, 0, 0] == np.arange(11)).all()
    assert notes.dates[7] == "2007"
    assert manifest["scan_id"].is_unique
    assert manifest["patient"].tolist() == [f"s{name}" for name in manifest["scan_id"]]


def test_an_empty_listing_makes_an_empty_table() -> None:
    manifest, _ = collect([], 0, np.zeros((0, SIDE, SIDE), np.uint8))
    assert list(manifest.columns) == list(COLUMNS)
    assert len(manifest) == 0


def test_tags_are_kept_of_a_bounded_number_of_scans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TAGGED", 5)
    rows = [examined(n, tags={"KVP": "abc"}) for n in range(20)]
    manifest, notes = collect(rows, 20, np.zeros((20, SIDE, SIDE), np.uint8))
    assert len(notes.tags) == 5
    table = metadata_table(manifest, notes, pd.DataFrame({"age": np.arange(20)}))
    assert len(table) == 5
    assert (table["tag KVP"] == "abc").all()
    assert table["column age"].tolist() == sorted(notes.tags)


def test_scans_in_quarantine_tell_nothing_about_shortcuts() -> None:
    rows = [examined(n, status="blank: every pixel is 0" if n else "ok") for n in range(3)]
    manifest, notes = collect(rows, 3, np.zeros((3, SIDE, SIDE), np.uint8))
    assert metadata_table(manifest, notes, None).index.tolist() == [0]


def test_one_patient_in_every_header_is_a_placeholder() -> None:
    rows = [examined(n, patient="p1", header_patient=True) for n in range(3)]
    _, notes = collect(rows, 3, np.zeros((3, SIDE, SIDE), np.uint8))
    with pytest.raises(SettingsError, match=r"columns\.patient=null"):
        notes.patient_warnings()
    rows.append(examined(3, patient="p2"))
    _, notes = collect(rows, 4, np.zeros((4, SIDE, SIDE), np.uint8))
    assert notes.patient_warnings() == []


def test_doubts_of_accepted_scans_are_told_once_a_set() -> None:
    doubts = ("its orientation is a guess",)
    rows = [examined(n, doubts=doubts if n else (), status="blank" if n == 1 else "ok") for n in range(5)]
    _, notes = collect(rows, 5, np.zeros((5, SIDE, SIDE), np.uint8))
    assert notes.doubt_warnings() == ["3 scans: its orientation is a guess."]


def test_names_in_paths_are_counted() -> None:
    notes = Notes(named_paths=2)
    assert "2 scans' paths" in notes.patient_warnings()[0]
    assert "acquire.paths=alias" in notes.patient_warnings()[0]

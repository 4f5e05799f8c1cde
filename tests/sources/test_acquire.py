"""The acquire stage writes the listing and says what the data is; twice the same, byte for byte."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from scanlens.config.schema import Acquire, Data, Phantom
from scanlens.errors import SettingsError
from scanlens.sources.acquire import acquire, read_source
from scanlens.sources.read import read_scan

Make = Callable[..., Data]


def test_folder(scans: Path, settings: Make, tmp_path: Path) -> None:
    data = settings("folder", root=str(scans))
    facts = acquire(data, Acquire(None, "plain", 0), tmp_path / "a")
    assert (facts["scans"], facts["unusable"], facts["classes"]) == (6, 0, {"ill": 3, "well": 3})
    assert json.loads((tmp_path / "a" / "source.json").read_text()) == {
        "kind": "folder",
        "root": str(scans),
        "labels": ["ill", "well"],
        "dims": 2,
        "task": "binary",
    }
    assert len(pd.read_parquet(tmp_path / "a" / "listing.parquet")) == 6
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["listing.parquet", "source.json"]
    acquire(data, Acquire(None, "plain", 0), tmp_path / "b")
    for name in ("listing.parquet", "source.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_limit(scans: Path, settings: Make, tmp_path: Path) -> None:
    facts = acquire(settings("folder", root=str(scans)), Acquire(4, "plain", 0), tmp_path / "a")
    assert facts["classes"] == {"ill": 2, "well": 2}


def test_nothing_is_written_when_refused(settings: Make, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="does not exist"):
        acquire(settings("folder", root=str(tmp_path / "absent")), Acquire(None, "plain", 0), tmp_path / "a")
    assert not (tmp_path / "a").exists()
    with pytest.raises(SettingsError, match=r"data\.phantom is null"):
        acquire(settings("phantom"), Acquire(None, "plain", 0), tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_phantoms_are_listed_as_a_table(settings: Make, tmp_path: Path) -> None:
    balance = {"normal": 1.0, "nodule": 1.0, "opacity": 1.0, "effusion": 1.0}
    phantom = Phantom(8, [1, 2], [96, 112], balance, 0.5, 0.0)
    labels = ["normal", "nodule", "opacity", "effusion"]
    data = settings("phantom", root="phantom.yaml", labels=labels, phantom=phantom)
    facts = acquire(data, Acquire(None, "plain", 0), tmp_path)
    root, source = read_source(tmp_path)
    assert (source["kind"], root, source["labels"]) == ("phantom", tmp_path, labels)
    listing = pd.read_parquet(tmp_path / "listing.parquet")
    assert (facts["scans"], facts["unusable"], facts["patients"]) == (len(listing), 0, 8)
    for path in listing["path"]:
        scan = read_scan(root, path, dims=2, max_pixels=10**6)
        assert scan.pixels.shape[0] == 1
        assert scan.spacing is not None

"""The stage as a whole, on generated files."""

from __future__ import annotations

import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from scanlens.config.schema import Preprocess
from scanlens.errors import ScanlensError, SettingsError
from scanlens.manifest.build import build_manifest
from scanlens.preprocess.preprocessor import Preprocessor
from scanlens.preprocess.run import preprocess
from scanlens.preprocess.store import Store
from scanlens.sources.read import read_scan
from tests.helpers.tiny import manifest_section

MakeConfig = Callable[..., Preprocess]
SOURCE = {"kind": "folder", "dims": 2, "labels": ["a", "b"]}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    return folder


def manifest_of(root: Path, scans: int = 20, side: int = 40) -> pd.DataFrame:
    """Write noise images, two of them damaged, and build their manifest."""
    generator = np.random.default_rng(0)
    rows = []
    for scan in range(scans):
        shape = (side, side + int(generator.integers(0, 10)))
        cv2.imwrite(str(root / f"{scan:03d}.png"), generator.integers(0, 256, shape, dtype=np.uint8))
        rows.append({"path": f"{scan:03d}.png", "label": "ab"[scan % 2], "patient": f"p{scan}"})
    for name in ("damaged-1.png", "damaged-2.png"):
        (root / name).write_text("no image")
        rows.append({"path": name, "label": "a", "patient": name})
    listing = pd.DataFrame(rows).assign(site="s", split="", mask="", date="", problem="")
    return build_manifest(
        listing, root, SOURCE, manifest_section(seed=0, max_pixels=1 << 24, max_aspect=10.0)
    )


def test_the_store_holds_every_accepted_scan_as_inference_would_make_it(
    root: Path, tmp_path: Path, preprocess_config: MakeConfig
) -> None:
    manifest = manifest_of(root)
    facts = preprocess(manifest, root, SOURCE, preprocess_config(), tmp_path / "out", 1)
    store = Store.open(tmp_path / "out")
    accepted = manifest[manifest["status"] == "ok"]
    assert facts["stored"] == len(store) == len(accepted) == 20
    assert store.index["scan_id"].tolist() == accepted["scan_id"].tolist()
    for name in ("patient", "label", "split", "site", "path", "mask", "modality"):
        assert store.index[name].tolist() == accepted[name].tolist()
    content = json.loads((tmp_path / "out/preprocessor.json").read_text())
    again = Preprocessor.from_json(content)
    assert again.size == (40, 40)
    assert facts["preprocessor"] == content
    for row, path in enumerate(accepted["path"]):
        image = again.apply(read_scan(root, path, dims=2, max_pixels=1 << 24))
        assert np.abs(store.read([row])[0] - image).max() <= 0.5 / 65535 + 1e-7
    train = store.read(store.rows("train")).astype(np.float64)
    assert store.statistics == facts["statistics"]
    assert store.statistics["mean"] == pytest.approx([train.mean()])
    assert store.statistics["std"] == pytest.approx([train.std()])
    assert facts["splits"] == {"train": 12, "val": 4, "test": 4}
    assert facts["left_out"] == []


def test_several_workers_write_the_same_bytes(
    root: Path, tmp_path: Path, preprocess_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scanlens.preprocess.run._TRIAL", 2)
    monkeypatch.setattr("scanlens.preprocess.run._WORTH_A_POOL_S", 0)
    manifest = manifest_of(root)
    (root / "003.png").unlink()
    one = preprocess(manifest, root, SOURCE, preprocess_config(), tmp_path / "one", 1)
    two = preprocess(manifest, root, SOURCE, preprocess_config(), tmp_path / "two", 2)
    assert one == two
    assert len(one["left_out"]) == 1
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "two").iterdir())
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_killed_worker_is_one_clear_error(
    root: Path, tmp_path: Path, preprocess_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scanlens.preprocess.run._WORTH_A_POOL_S", 0)
    monkeypatch.setattr("scanlens.preprocess.run._TRIAL", 1)
    # Every worker dies as it starts: what it is to call first ends a process on the spot.
    monkeypatch.setattr("scanlens.preprocess.run.cv2", SimpleNamespace(setNumThreads=os._exit))
    with pytest.raises(ScanlensError, match=r"a worker process was killed.*runtime\.workers=1"):
        preprocess(manifest_of(root), root, SOURCE, preprocess_config(), tmp_path / "out", 2)


def test_changed_and_vanished_files_are_left_out_with_the_reason(
    root: Path, tmp_path: Path, preprocess_config: MakeConfig
) -> None:
    manifest = manifest_of(root)
    cv2.imwrite(str(root / "004.png"), np.eye(40, dtype=np.uint8))
    (root / "007.png").unlink()
    facts = preprocess(manifest, root, SOURCE, preprocess_config(), tmp_path / "out", 1)
    assert [entry["path"] for entry in facts["left_out"]] == ["004.png", "007.png"]
    assert facts["left_out"][0]["reason"].startswith("changed")
    store = Store.open(tmp_path / "out")
    assert len(store) == facts["stored"] == 18
    assert not {"004.png", "007.png"} & set(store.index["path"])


@pytest.mark.parametrize("gone", ["split", "label"])
def test_nothing_left_of_a_split_or_a_class_is_refused(
    root: Path, tmp_path: Path, preprocess_config: MakeConfig, gone: str
) -> None:
    manifest = manifest_of(root)
    value = {"split": "val", "label": "b"}[gone]
    for path in manifest.loc[(manifest[gone] == value) & (manifest["status"] == "ok"), "path"]:
        (root / path).unlink()
    with pytest.raises(SettingsError, match=f"no scan of {'split val' if gone == 'split' else 'class b'}"):
        preprocess(manifest, root, SOURCE, preprocess_config(), tmp_path / "out", 1)
    with pytest.raises(SettingsError, match="no store here"):
        Store.open(tmp_path / "out")


def test_shard_rows_change_the_number_of_shards(
    root: Path, tmp_path: Path, preprocess_config: MakeConfig
) -> None:
    manifest = manifest_of(root)
    for shard_rows, shards in ((4, 5), (7, 3)):
        output = tmp_path / str(shard_rows)
        preprocess(manifest, root, SOURCE, preprocess_config(shard_rows=shard_rows), output, 1)
        assert len(list(output.glob("shard-*.npy"))) == shards
    with pytest.raises(SettingsError, match="shard_rows"):
        preprocess(manifest, root, SOURCE, preprocess_config(shard_rows=0), tmp_path / "none", 1)


def test_memory_does_not_grow_with_the_number_of_scans(
    root: Path, tmp_path: Path, preprocess_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scanlens.preprocess.statistics._VALUES_AT_A_TIME", 100_000)
    manifest = manifest_of(root, 80, side=160)
    peaks = []
    for part in (manifest[:20], manifest):
        tracemalloc.start()
        preprocess(part, root, SOURCE, preprocess_config(size=160), tmp_path / "out", 1)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    one_row = 160 * 160 * 4
    assert peaks[1] - peaks[0] < 5 * one_row


def test_volumes(tmp_path: Path, root: Path, preprocess_config: MakeConfig) -> None:
    nibabel: Any = pytest.importorskip("nibabel")
    generator = np.random.default_rng(0)
    rows = []
    for scan in range(10):
        volume = nibabel.Nifti1Image(generator.normal(0, 1, (20, 24, 18)).astype(np.float32), np.eye(4))
        nibabel.save(volume, root / f"{scan}.nii.gz")
        rows.append({"path": f"{scan}.nii.gz", "label": "ab"[scan % 2], "patient": f"p{scan}"})
    listing = pd.DataFrame(rows).assign(site="", split="", mask="", date="", problem="")
    source = {**SOURCE, "dims": 3}
    manifest = build_manifest(
        listing, root, source, manifest_section(seed=0, max_pixels=1 << 24, max_aspect=10.0)
    )
    preprocess(manifest, root, source, preprocess_config(), tmp_path / "out", 1)
    store = Store.open(tmp_path / "out")
    assert store.shape == (1, 24, 24, 24)
    assert [list(spacing) for spacing in store.index["spacing"]] == [[1.0, 1.0, 1.0]] * 10

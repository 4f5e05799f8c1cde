"""The stage as a whole, on generated files."""

from __future__ import annotations

import json
import os
import signal
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import nibabel
import numpy as np
import pandas as pd
import pytest

from scanlens.config.schema import Preprocess
from scanlens.errors import ScanlensError, SettingsError
from scanlens.manifest.build import build_manifest
from scanlens.preprocess import run
from scanlens.preprocess.preprocessor import Preprocessor, resolve_preprocessor
from scanlens.preprocess.run import preprocess
from scanlens.preprocess.store import Store
from scanlens.scaling.engine import Engine, map_ordered
from scanlens.sources.read import content_sha256, read_scan
from scanlens.types import ImageArray, Scan
from tests.helpers.tiny import manifest_section
from tests.preprocess.scans import files_of

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
    ).manifest


def test_the_store_holds_every_accepted_scan_as_inference_would_make_it(
    root: Path, tmp_path: Path, preprocess_config: MakeConfig
) -> None:
    manifest = manifest_of(root)
    facts = preprocess(manifest, root, SOURCE, preprocess_config(), tmp_path / "out")
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
    assert facts["warnings"] == []


def test_scans_that_are_all_but_black_are_told(
    root: Path, tmp_path: Path, preprocess_config: MakeConfig
) -> None:
    manifest = manifest_of(root)
    for path in root.glob("00*.png"):
        cv2.imwrite(str(path), cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) // 32)
    manifest["sha256"] = [content_sha256(root, path) for path in manifest["path"]]
    facts = preprocess(manifest, root, SOURCE, preprocess_config(), tmp_path / "out")
    assert [warning.split(",")[0] for warning in facts["warnings"]] == [
        "10 of 20 scans use less than 5% of the range from black to white"
    ]
    assert (tmp_path / "out/range.png").is_file()
    assert facts["decoded"] == 20


def test_several_workers_write_the_same_bytes(
    root: Path, tmp_path: Path, preprocess_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scanlens.preprocess.run.POOL_FROM_PIXELS", 0)
    manifest = manifest_of(root)
    (root / "003.png").unlink()
    facts = []
    for workers in (0, 1, 2):
        output, engine = tmp_path / str(workers), Engine("local", workers, None)
        facts.append(preprocess(manifest, root, SOURCE, preprocess_config(), output, engine))
        del facts[-1]["seconds_by_step"]
    assert facts[0] == facts[1] == facts[2]
    assert len(facts[0]["left_out"]) == 1
    assert files_of(tmp_path / "0") == files_of(tmp_path / "1") == files_of(tmp_path / "2")


class Deadly(Preprocessor):
    """Ends the process that uses it, as the system does when memory runs out."""

    def apply(self, scan: Scan, name: str = "scan") -> ImageArray:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


def deadly(*arguments: Any) -> Deadly:
    return Deadly(**vars(resolve_preprocessor(*arguments)))


def test_a_killed_worker_is_one_clear_error(
    root: Path, tmp_path: Path, preprocess_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scanlens.preprocess.run.POOL_FROM_PIXELS", 0)
    monkeypatch.setattr("scanlens.preprocess.run.resolve_preprocessor", deadly)
    with pytest.raises(
        ScanlensError, match=r"worker processes failed.*signal 9.*scans 0 to 3.*runtime\.workers=1"
    ):
        preprocess(
            manifest_of(root), root, SOURCE, preprocess_config(), tmp_path / "out", Engine("local", 2, None)
        )
    assert not list((tmp_path / "out").glob("shard-*"))


class DeadlyAtTwo(Preprocessor):
    """Ends its process at one scan and never comes back from another."""

    def apply(self, scan: Scan, name: str = "scan") -> ImageArray:
        if name == "005.png":
            os.kill(os.getpid(), signal.SIGKILL)
        if name == "009.png":
            time.sleep(1000)
        return super().apply(scan, name)


def deadly_at_two(*arguments: Any) -> DeadlyAtTwo:
    return DeadlyAtTwo(**vars(resolve_preprocessor(*arguments)))


def test_a_scan_that_ends_or_blocks_its_process_is_left_out_alone(
    root: Path, tmp_path: Path, preprocess_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scanlens.preprocess.run.POOL_FROM_PIXELS", 0)
    monkeypatch.setattr("scanlens.preprocess.run.SECONDS_A_ROW", 1)
    monkeypatch.setattr("scanlens.preprocess.run.SECONDS_ALONE", 5)
    monkeypatch.setattr("scanlens.preprocess.run.resolve_preprocessor", deadly_at_two)
    facts = preprocess(
        manifest_of(root), root, SOURCE, preprocess_config(), tmp_path / "out", Engine("local", 2, None)
    )
    assert facts["left_out"] == [
        {"path": "005.png", "reason": "crashed its reader (signal 9)"},
        {"path": "009.png", "reason": "took longer than 5 s"},
    ]
    store = Store.open(tmp_path / "out")
    assert len(store) == facts["stored"] == 18
    assert not {"005.png", "009.png"} & set(store.index["path"])


class Greedy(Preprocessor):
    """Finds no memory for one scan."""

    def placement(self, spatial: Any, *others: Any) -> Any:
        if spatial[1] == 77:
            np.empty(1 << 60, np.uint8)
        return super().placement(spatial, *others)


def greedy(*arguments: Any) -> Greedy:
    return Greedy(**vars(resolve_preprocessor(*arguments)))


def test_a_scan_without_the_memory_for_it_is_left_out(
    root: Path, tmp_path: Path, preprocess_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = manifest_of(root)
    cv2.imwrite(str(root / "004.png"), np.eye(77, dtype=np.uint8))
    manifest.loc[manifest["path"] == "004.png", "sha256"] = content_sha256(root, "004.png")
    monkeypatch.setattr("scanlens.preprocess.run.resolve_preprocessor", greedy)
    facts = preprocess(manifest, root, SOURCE, preprocess_config(), tmp_path / "out")
    assert facts["left_out"] == [{"path": "004.png", "reason": "needs more memory than there is"}]


@pytest.mark.parametrize(
    ("spacing", "settings", "reason"),
    [(1.0, {"intensity": "minmax"}, "limits: "), (300.0, {"spacing": 1.0}, "spacing: ")],
)
def test_absurd_numbers_in_one_volume_cost_no_other(
    root: Path,
    tmp_path: Path,
    preprocess_config: MakeConfig,
    spacing: float,
    settings: dict[str, Any],
    reason: str,
) -> None:
    rows = []
    for scan in range(12):
        volume = np.random.default_rng(scan).random((20, 20, 20)).astype(np.float32)
        affine = np.eye(4)
        if scan == 5:
            affine = np.diag([spacing, spacing, spacing, 1.0])
            volume[0, 0, :2] = (3e38, -3e38) if spacing == 1 else 0
        nibabel.save(nibabel.Nifti1Image(volume, affine), root / f"{scan}.nii.gz")
        rows.append({"path": f"{scan}.nii.gz", "label": "ab"[scan % 2], "patient": f"p{scan}"})
    listing = pd.DataFrame(rows).assign(site="", split="", mask="", date="", problem="")
    source = {**SOURCE, "dims": 3}
    manifest = build_manifest(listing, root, source, manifest_section(near_copies="off", min_side=4)).manifest
    assert (manifest["status"] == "ok").all()
    config = preprocess_config(size=16, **settings)
    (left_out,) = preprocess(manifest, root, source, config, tmp_path / "out")["left_out"]
    assert left_out["path"] == "5.nii.gz"
    assert left_out["reason"].startswith(reason)
    assert np.isfinite(Store.open(tmp_path / "out").read(range(11))).all()


def test_few_scans_start_no_process(
    root: Path, tmp_path: Path, preprocess_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = []

    def watched(*arguments: Any, engine: Engine, **options: Any) -> Any:
        used.append(engine)
        return map_ordered(*arguments, engine=engine, **options)

    monkeypatch.setattr("scanlens.preprocess.run.map_ordered", watched)
    manifest = manifest_of(root)
    for pixels in (run.POOL_FROM_PIXELS, 1):
        monkeypatch.setattr("scanlens.preprocess.run.POOL_FROM_PIXELS", pixels)
        preprocess(manifest, root, SOURCE, preprocess_config(), tmp_path / "out", Engine("local", 2, None))
    assert [engine.workers for engine in used] == [0, 2]


def test_changed_and_vanished_files_are_left_out_with_the_reason(
    root: Path, tmp_path: Path, preprocess_config: MakeConfig
) -> None:
    manifest = manifest_of(root)
    cv2.imwrite(str(root / "004.png"), np.eye(40, dtype=np.uint8))
    (root / "007.png").unlink()
    facts = preprocess(manifest, root, SOURCE, preprocess_config(), tmp_path / "out")
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
        preprocess(manifest, root, SOURCE, preprocess_config(), tmp_path / "out")
    with pytest.raises(SettingsError, match="no store here"):
        Store.open(tmp_path / "out")


def test_shard_rows_change_the_number_of_shards(
    root: Path, tmp_path: Path, preprocess_config: MakeConfig
) -> None:
    manifest = manifest_of(root)
    for shard_rows, shards in ((4, 5), (7, 3)):
        output = tmp_path / str(shard_rows)
        preprocess(manifest, root, SOURCE, preprocess_config(shard_rows=shard_rows), output)
        assert len(list(output.glob("shard-*.npy"))) == shards


def test_memory_does_not_grow_with_the_number_of_scans(
    root: Path, tmp_path: Path, preprocess_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = manifest_of(root, 80, side=160)
    peaks = []
    for part in (manifest[:20], manifest):
        tracemalloc.start()
        preprocess(part, root, SOURCE, preprocess_config(size=160), tmp_path / "out")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    one_row = 160 * 160 * 4
    assert peaks[1] - peaks[0] < 5 * one_row


def test_volumes(tmp_path: Path, root: Path, preprocess_config: MakeConfig) -> None:
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
    ).manifest
    preprocess(manifest, root, source, preprocess_config(), tmp_path / "out")
    store = Store.open(tmp_path / "out")
    assert store.shape == (1, 24, 24, 24)
    assert [list(spacing) for spacing in store.index["spacing"]] == [[1.0, 1.0, 1.0]] * 10

"""A folder of anything: every scan has a row or a reason, and nothing stops the rest."""

from __future__ import annotations

import os
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
import pytest

from scanlens.errors import SettingsError
from scanlens.evaluation.calibration import calibrated_probabilities
from scanlens.inference.batch import list_inputs, predict_batch
from scanlens.inference.bundle import Bundle, open_bundle
from scanlens.inference.runtime import choose_runtime
from scanlens.preprocess.preprocessor import Preprocessor
from scanlens.sources.read import read_scan
from tests.helpers.tiny import write_bundle, write_scan


@pytest.fixture
def bundle(tiny_bundle: Path) -> Bundle:
    return open_bundle(tiny_bundle)


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """A folder for scans."""
    (tmp_path / "scans").mkdir()
    return tmp_path / "scans"


@pytest.fixture
def call(bundle: Bundle, tmp_path: Path) -> Any:
    """Predict; returns the two tables."""

    def run(path: Path, output: str = "out", **options: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
        default = {"batch_size": 2, "maps": False}
        folder = tmp_path / output
        good, bad = predict_batch(
            bundle, choose_runtime(bundle, "onnx", 1)[1], path, folder, **{**default, **options}
        )
        tables = [pd.read_csv(folder / name) for name in ("predictions.csv", "failures.csv")]
        assert [len(table) for table in tables] == [good, bad]
        assert not list(folder.glob(".*"))
        return tables[0], tables[1]

    return run


def test_rows_come_in_the_order_of_names_whatever_the_batch(call: Any, scans: Path) -> None:
    names = ["b/2.png", "a/10.png", "a/9.png", "c.png", "B.png"]
    for number, name in enumerate(names):
        write_scan(scans / name, number)
    tables = [call(scans, f"out{size}", batch_size=size)[0] for size in (1, 2, 32)]
    assert tables[0]["path"].tolist() == sorted(names)
    for table in tables[1:]:
        assert table["path"].tolist() == tables[0]["path"].tolist()
        assert table["label"].tolist() == tables[0]["label"].tolist()
        columns = ["probability_dark", "probability_bright", "uncertainty"]
        assert np.allclose(table[columns], tables[0][columns], atol=2e-6)


def test_a_row_says_what_the_parts_compute(call: Any, scans: Path, bundle: Bundle) -> None:
    write_scan(scans / "one.png", 3)
    table, failures = call(scans)
    row = table.iloc[0]
    scan = bundle.preprocessor.apply(read_scan(scans, "one.png", dims=2, max_pixels=10**6))
    logits, _ = choose_runtime(bundle, "torch", 1)[1](scan[np.newaxis])
    expected = calibrated_probabilities(logits, 1.7)[0]
    assert row[["probability_dark", "probability_bright"]].tolist() == pytest.approx(expected, abs=1e-5)
    assert row["label"] == bundle.labels[int(expected.argmax())]
    assert row["uncertainty"] == pytest.approx(-(expected * np.log2(expected)).sum(), abs=1e-4)
    held = (expected >= 0.4) | (expected == expected.max())
    assert row[["in_set_dark", "in_set_bright"]].tolist() == held.astype(int).tolist()
    assert row["abstained"] == (held.sum() > 1)
    assert row["bundle"] == bundle.bundle_id
    assert pd.isna(row["map"])
    assert failures.empty


def test_failures_have_reasons_and_stop_nothing(call: Any, scans: Path) -> None:
    write_scan(scans / "good.png")
    (scans / "empty.png").write_bytes(b"")
    (scans / "text.dcm").write_bytes(b"hello " * 100)
    (scans / "cut.png").write_bytes((scans / "good.png").read_bytes()[:60])
    nibabel.save(nibabel.Nifti1Image(np.ones((4, 4, 4), np.float32), np.eye(4)), scans / "volume.nii")
    (scans / "broken.png").symlink_to(scans / "absent.png")
    (scans / "broken.npz").symlink_to(scans / "absent.npz")
    (scans / "bad.npz").write_bytes(b"PK not really")
    write_scan(scans / "long.png", shape=(8, 80))
    write_scan(scans / "tiny.png", shape=(3, 3))
    table, failures = call(scans)
    assert table["path"].tolist() == ["good.png"]
    assert sorted(failures["path"]) == [
        "bad.npz", "broken.npz", "broken.png", "cut.png", "empty.png", "long.png", "text.dcm",
        "tiny.png", "volume.nii",
    ]  # fmt: skip
    reasons = failures.set_index("path")["reason"]
    assert reasons["empty.png"] == "empty file"
    # The checks of training hold here too.
    assert reasons["long.png"].startswith("too long")
    assert reasons["tiny.png"].startswith("too small")
    assert "not an image" in reasons["text.dcm"]
    assert reasons.str.len().min() > 5
    assert not reasons.str.contains("\n").any()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scans_that_are_no_numbers_fail_by_name(call: Any, scans: Path, value: float, bundle: Bundle) -> None:
    pixels = np.random.default_rng(0).random((12, 12, 1)).astype(np.float32)
    pixels[3, 4] = value
    nibabel.save(nibabel.Nifti1Image(pixels, np.eye(4)), scans / "bad.nii")
    write_scan(scans / "good.png")
    table, failures = call(scans)
    assert failures["path"].tolist() == ["bad.nii"]
    assert table["path"].tolist() == ["good.png"]


def test_hidden_files_and_tables_are_passed_over_and_links_lead_nowhere_else(scans: Path) -> None:
    write_scan(scans / "a.png")
    write_scan(scans / ".hidden.png")
    write_scan(scans / ".cache" / "b.png")
    write_scan(scans.parent / "elsewhere" / "c.png")
    (scans / "linked").symlink_to(scans.parent / "elsewhere")
    for name in ("labels.csv", "notes.TXT", "facts.json"):
        (scans / name).write_text("x")
    root, found = list_inputs(scans)
    assert root == scans
    assert dict(found.itertuples(index=False)) == {"a.png": "", "linked": "outside the data root"}


def test_an_archive_is_the_scans_in_it(call: Any, scans: Path) -> None:
    write_scan(scans.parent / "inner.png", 1)
    with zipfile.ZipFile(scans / "x.zip", "w") as archive:
        archive.write(scans.parent / "inner.png", "deep/a.png")
        archive.writestr("../b.png", b"b")
    table, failures = call(scans)
    assert table["path"].tolist() == ["x.zip#member/deep/a.png"]
    assert failures.to_dict("records") == [
        {"path": "x.zip#member/../b.png", "reason": "its name leads outside the archive"}
    ]


def test_the_output_below_the_input_is_passed_over(call: Any, scans: Path, tmp_path: Path) -> None:
    write_scan(scans / "a.png", 1)
    for _ in range(2):
        assert call(scans, "scans/out", maps=True)[0]["path"].tolist() == ["a.png"]


def test_a_folder_named_like_a_scan_is_a_folder(call: Any, scans: Path) -> None:
    write_scan(scans / "x.dcm" / "inner.png")
    write_scan(scans / "y.npz" / "inner.png")
    table, failures = call(scans)
    assert table["path"].tolist() == ["x.dcm/inner.png", "y.npz/inner.png"]
    assert failures.empty


def test_a_single_file_is_named_by_itself(call: Any, scans: Path) -> None:
    write_scan(scans / "deep" / "a.png")
    write_scan(scans / "deep" / "b.png")
    assert call(scans / "deep" / "a.png")[0]["path"].tolist() == ["a.png"]


@pytest.mark.parametrize("folder", ["", "deep"])
def test_rows_of_an_archive(call: Any, scans: Path, folder: str) -> None:
    rng = np.random.default_rng(0)
    arrays = {f"{split}_images": rng.integers(0, 255, (2, 12, 12), np.uint8) for split in ("train", "test")}
    (scans / folder).mkdir(exist_ok=True)
    np.savez(scans / folder / "set.npz", **arrays)
    table, failures = call(scans)
    prefix = f"{folder}/" if folder else ""
    names = [f"{prefix}set.npz#{split}/{row}" for split in ("train", "test") for row in (0, 1)]
    assert sorted(table["path"]) == sorted(names)
    assert failures.empty
    assert call(scans / folder / "set.npz", "alone")[0]["label"].tolist() == table["label"].tolist()


def test_the_same_bytes_twice_are_two_rows_with_two_maps(call: Any, scans: Path, tmp_path: Path) -> None:
    write_scan(scans / "a.png", 1)
    shutil.copy(scans / "a.png", scans / "b.png")
    table, _ = call(scans, maps=True)
    assert table["path"].tolist() == ["a.png", "b.png"]
    assert table["scan_id"].nunique() == 1
    assert table["map"].nunique() == 2
    for name in table["map"]:
        assert (tmp_path / "out" / name).is_file()
    assert len(list((tmp_path / "out" / "maps").glob("*.npy"))) == 2


def test_maps_are_probabilities_at_every_cell(call: Any, scans: Path, tmp_path: Path) -> None:
    write_scan(scans / "a.png", 1)
    call(scans, maps=True)
    (path,) = (tmp_path / "out" / "maps").glob("*.npy")
    values = np.load(path).astype(float)
    assert values.shape[0] == 2
    assert values.ndim == 3
    assert np.allclose(values.sum(0), 1, atol=2e-3)
    assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_two_runs_write_the_same_bytes(call: Any, scans: Path, tmp_path: Path) -> None:
    for number in range(3):
        write_scan(scans / f"{number}.png", number)
    for name in ("one", "two"):
        call(scans, name, maps=True)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.*"))
    assert len(files) == 2 + 2 * 3
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_processes_write_the_same_bytes_as_this_one(call: Any, scans: Path, tmp_path: Path) -> None:
    for number in range(5):
        write_scan(scans / f"{number}.png", number)
    (scans / "0a.png").write_bytes(b"")
    write_scan(scans / "3a.png", shape=(3, 3))
    for name, workers in (("here", 0), ("one", 1), ("two", 2), ("auto", None)):
        call(scans, name, workers=workers)
    for table in ("predictions.csv", "failures.csv"):
        written = {(tmp_path / name / table).read_bytes() for name in ("here", "one", "two", "auto")}
        assert len(written) == 1


def test_a_scan_that_asks_for_too_much_is_a_failure_among_others(
    bundle: Bundle, scans: Path, tmp_path: Path
) -> None:
    for number in range(5):
        write_scan(scans / f"{number}.png", number)
    nibabel.save(nibabel.Nifti1Image(np.ones((6000, 6000, 1), np.float32), np.eye(4)), scans / "big.nii.gz")
    small = replace(bundle, checks=replace(bundle.checks, max_memory_mib=64, max_pixels=10**8))
    run = choose_runtime(bundle, "onnx", 1)[1]
    assert predict_batch(small, run, scans, tmp_path / "out", batch_size=2, maps=False) == (5, 1)
    failures = pd.read_csv(tmp_path / "out" / "failures.csv")
    assert failures["path"].tolist() == ["big.nii.gz"]
    assert "memory" in failures["reason"][0] or "MiB" in failures["reason"][0]


def test_nothing_to_predict_is_refused(call: Any, scans: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"scans: holds no scans.*--input"):
        call(scans)
    (scans / "labels.csv").write_text("x")
    with pytest.raises(SettingsError, match="holds no scans"):
        call(scans)
    with pytest.raises(SettingsError, match="no such file or folder"):
        call(scans / "absent")
    assert not (tmp_path / "out").exists()


def test_an_output_that_cannot_be_written_is_refused(call: Any, scans: Path, tmp_path: Path) -> None:
    write_scan(scans / "a.png")
    (tmp_path / "file").write_text("x")
    with pytest.raises(SettingsError, match=r"can't be written.*--output"):
        call(scans, "file")
    with pytest.raises(SettingsError, match=r"can't be written.*--output"):
        call(scans, "file/below")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_output_is_refused(call: Any, scans: Path, tmp_path: Path) -> None:
    write_scan(scans / "a.png")
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(SettingsError, match=r"can't be written.*--output"):
        call(scans, "locked/out")


def test_a_run_that_breaks_off_leaves_the_old_tables(
    call: Any, scans: Path, bundle: Bundle, tmp_path: Path
) -> None:
    write_scan(scans / "a.png")
    call(scans)
    before = (tmp_path / "out" / "predictions.csv").read_bytes()

    def broken(_: Any) -> Any:
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        predict_batch(bundle, broken, scans, tmp_path / "out", batch_size=1, maps=False)
    assert (tmp_path / "out" / "predictions.csv").read_bytes() == before


def test_volumes_become_images_of_their_slices(tmp_path: Path) -> None:
    """2.5-D: the bundle reads volumes, its network and its maps are of two dimensions."""
    flat = Preprocessor((16, 16), 5, "pad", "minmax", (0.5, 99.5), None, 3, (1.0, 1.0), "foreground", 5)
    opened = open_bundle(write_bundle(tmp_path / "made", preprocessor=flat))
    assert (opened.dims, opened.preprocessor) == (3, flat)
    (tmp_path / "scans").mkdir()
    volume = np.random.default_rng(0).random((20, 18, 9)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), tmp_path / "scans/a.nii.gz")
    good, bad = predict_batch(
        opened,
        choose_runtime(opened, "onnx", 1)[1],
        tmp_path / "scans",
        tmp_path / "out",
        batch_size=2,
        maps=True,
    )
    assert (good, bad) == (1, 0)
    [drawn] = (tmp_path / "out/maps").glob("*.npy")
    assert np.load(drawn).ndim == 3
    assert drawn.with_suffix(".png").stat().st_size > 500

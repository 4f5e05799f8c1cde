"""The phantom cohort: settings, labels, sites, files and their bytes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
from PIL import Image

from scanlens.config.data import PHANTOM_LABELS as LABELS
from scanlens.config.schema import Phantom
from scanlens.phantom.cohort import TABLE_COLUMNS, draw_cohort, write_phantoms

EVEN = dict.fromkeys(LABELS, 1.0)
CONFIG = Phantom(
    patients=12, scans_per_patient=[1, 3], sides=[80, 128], balance=EVEN, difficulty=0.3, shortcut=0.0
)

PINNED = replace(CONFIG, patients=8, sides=[100, 240], shortcut=0.5)
PINNED_SHA256 = "7f7463fa93422a72ecb6d73d57544f1daa71dc091e87620d5e2f6b1340607a3b"
"""Of the names and SHA-256 of all files of :data:`PINNED` with seed 11, whatever the processor."""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    """A small cohort on disk and its table."""
    root = tmp_path_factory.mktemp("phantom")
    return root, write_phantoms(CONFIG, root, 3)


def _digests(root: Path) -> dict[str, str]:
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_table_and_files_agree(written: tuple[Path, pd.DataFrame]) -> None:
    root, table = written
    read = pd.read_csv(root / "labels.csv", dtype=str, keep_default_na=False)
    pd.testing.assert_frame_equal(read, table)
    assert tuple(table.columns) == TABLE_COLUMNS
    assert list(table["path"]) == sorted(f"scans/{path.name}" for path in (root / "scans").iterdir())
    assert set(table["mask"]) - {""} == {f"masks/{path.name}" for path in (root / "masks").iterdir()}
    assert ((table["mask"] == "") == (table["label"] == "normal")).all()
    assert set(table["label"]) == set(LABELS)
    assert table.groupby("patient").size().between(1, 3).all()
    assert (table.groupby("patient")["site"].nunique() == 1).all()


def test_masks_lie_on_their_scans(written: tuple[Path, pd.DataFrame]) -> None:
    root, table = written
    for row in table[table["mask"] != ""].itertuples():
        scan = pydicom.dcmread(root / str(row.path), stop_before_pixels=True)
        mask = np.asarray(Image.open(root / str(row.mask)))
        assert mask.shape == (scan.Rows, scan.Columns)
        assert mask.dtype == np.uint8
        assert set(np.unique(mask)) == {0, 255}


def test_files_hold_the_patient_of_the_table(written: tuple[Path, pd.DataFrame]) -> None:
    root, table = written
    scans = [pydicom.dcmread(root / path, stop_before_pixels=True) for path in table["path"]]
    assert [scan.PatientID for scan in scans] == list(table["patient"])
    names = {
        (scan.PatientID, str(scan.PatientName), scan.PatientBirthDate, scan.PatientSex) for scan in scans
    }
    assert len(names) == table["patient"].nunique()
    assert len({scan.SOPInstanceUID for scan in scans}) == len(scans)
    institution = {(site, scan.InstitutionName) for site, scan in zip(table["site"], scans, strict=True)}
    assert len(institution) == 2


def test_same_seed_same_bytes(written: tuple[Path, pd.DataFrame], tmp_path: Path) -> None:
    root, _ = written
    write_phantoms(CONFIG, tmp_path / "again", 3)
    assert _digests(tmp_path / "again") == _digests(root)
    write_phantoms(CONFIG, tmp_path / "other", 4)
    assert not set(_digests(tmp_path / "other").values()) & set(_digests(root).values())


def _whole_digest(root: Path) -> str:
    return hashlib.sha256(repr(sorted(_digests(root).items())).encode()).hexdigest()


def test_these_bytes_on_every_machine(tmp_path: Path) -> None:
    table = write_phantoms(PINNED, tmp_path, 11)
    assert set(table["label"]) == set(LABELS)
    assert _whole_digest(tmp_path) == PINNED_SHA256


def test_a_machine_without_vector_instructions_draws_the_same(tmp_path: Path) -> None:
    # NumPy refuses to switch a feature off that it was built without or that the processor lacks.
    numpys = np._core._multiarray_umath.__cpu_dispatch__
    switched = [name for name in numpys if np._core._multiarray_umath.__cpu_features__.get(name)]
    bare = os.environ | {
        "NPY_DISABLE_CPU_FEATURES": " ".join(switched),
        "OPENCV_CPU_DISABLE": "AVX512_SKX,AVX2,FMA3,AVX,FP16,SSE4_2,SSE4_1",
        "OPENCV_IPP": "disabled",
        "OPENBLAS_CORETYPE": "Nehalem",
        "OPENBLAS_NUM_THREADS": "1",
        "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-AVX512F",
    }
    script = (
        "import sys; from pathlib import Path; from scanlens.config.schema import Phantom;"
        "from scanlens.phantom.cohort import write_phantoms;"
        f"write_phantoms({PINNED!r}, Path(sys.argv[1]), 11)"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], env=bare, check=True, timeout=300)
    assert _whole_digest(tmp_path) == PINNED_SHA256


def test_nothing_half_written_is_left(written: tuple[Path, pd.DataFrame]) -> None:
    root, _ = written
    assert not list(root.rglob("*.part"))


@pytest.mark.parametrize(
    "change",
    [
        {"difficulty": 1.0},
        {"shortcut": 1.0},
        {"sides": [96, 96]},
        {"scans_per_patient": [2, 2]},
        {"patients": 13},
        {"balance": {**EVEN, "nodule": 5.0}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_setting_changes_something(
    change: dict, written: tuple[Path, pd.DataFrame], tmp_path: Path
) -> None:
    write_phantoms(replace(CONFIG, **change), tmp_path, 3)
    assert _digests(tmp_path) != _digests(written[0])


@pytest.mark.parametrize("site_first", range(5))
def test_cohort_keeps_balance_and_sites_apart(site_first: int) -> None:
    config = replace(
        CONFIG, patients=100, balance={"normal": 4.0, "nodule": 2.0, "opacity": 3.0, "effusion": 1.0}
    )
    cases = pd.DataFrame(draw_cohort(np.random.default_rng(site_first), config))
    counts = cases["label"].value_counts()
    assert counts.sum() == 100
    assert counts.to_dict() == pytest.approx(
        {"normal": 40, "nodule": 20, "opacity": 30, "effusion": 10}, abs=1
    )
    crossed = pd.crosstab(cases["label"], cases["site"])
    assert (crossed["north"] - crossed["south"]).abs().max() <= 1
    assert list(cases["number"]) == list(range(1, 101))


def test_every_wanted_class_has_a_patient() -> None:
    config = replace(CONFIG, patients=4, balance={**EVEN, "normal": 1000.0})
    assert {case.label for case in draw_cohort(np.random.default_rng(0), config)} == set(LABELS)
    config = replace(CONFIG, patients=9, balance={"normal": 1.0, "nodule": 1.0, "opacity": 0.0})
    assert {case.label for case in draw_cohort(np.random.default_rng(0), config)} == {"normal", "nodule"}

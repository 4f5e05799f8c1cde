"""No identifier of a DICOM file, a label table or a file name reaches anything a run writes or prints."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import zipfile
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest

from scanlens.sources.read import read_scan
from tests.helpers.identifiers import SPELLINGS, markers_in, person, search, word, write_planted
from tests.helpers.pipeline import TINY

pytestmark = pytest.mark.whole
SHORT = (
    *(setting for setting in TINY if not setting.startswith(("synthesis.steps", "training.epochs"))),
    "synthesis.steps=2",
    "training.epochs=1",
    "model.width=0.25",
    "explanation.max_overlays=4",
    "runtime=cpu",
)
OUTPUTS = ("data", "mlruns", "mlflow.db", ".scanlens", ".dvc/cache", ".dvc/tmp", "dvc.lock")


def _call(folder: Path, key: Path, *command: str, expect: int = 0) -> str:
    """Run a command in a checkout; return everything it printed."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(folder / "src"),
        "SCANLENS_KEY_FILE": str(key),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == expect, f"{command}: {done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout + done.stderr


def _copy(checkout: Path, target: Path) -> Path:
    """A checkout of one's own: the shared one belongs to the tests of the phantoms."""

    def outputs(folder: str, names: list[str]) -> list[str]:
        return [name for name in names if (Path(folder) / name).relative_to(checkout).as_posix() in OUTPUTS]

    return shutil.copytree(checkout, target, ignore=outputs)


def _settings(root: Path) -> tuple[str, ...]:
    return ("data=table", f"data.root={root}", "data.table=labels.csv", *SHORT)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("scans") / "root"
    write_planted(root)
    return root


@pytest.fixture(scope="module")
def whole_run(checkout: Path, planted: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a whole run over planted files, batch inference included, and what it printed."""
    folder = _copy(checkout, tmp_path_factory.mktemp("whole") / "project")
    key = tmp_path_factory.mktemp("key") / "pseudonym.key"
    printed = _call(folder, key, "scanlens", "params", *_settings(planted))
    printed += _call(folder, key, "dvc", "repro")
    bundle = ("--bundle", "data/09_bundle", "--input", str(planted), "--output", "data/predictions")
    printed += _call(folder, key, "scanlens", "predict", *bundle, expect=3)  # some files are damaged
    return folder, printed


def test_the_search_finds_what_is_planted_anywhere(tmp_path: Path) -> None:
    marker = word(0x1234)
    (tmp_path / "a.txt").write_text(f"by {marker.lower()}.")
    (tmp_path / "b.bin").write_bytes(b"\xff\x00" + marker.encode("utf-16-le"))
    pd.DataFrame({"x": ["", marker] * 50}).to_parquet(tmp_path / "c.parquet", compression="zstd")
    pd.DataFrame({marker: [1]}).to_parquet(tmp_path / "d.parquet")
    with closing(sqlite3.connect(tmp_path / "e.db")) as database:
        database.execute("create table runs (name text)")
        database.execute("insert into runs values (?)", (marker,))
        database.commit()
    (tmp_path / "f.gz").write_bytes(gzip.compress(marker.encode()))
    with zipfile.ZipFile(tmp_path / "g.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(tmp_path / "c.parquet", "inner")
    (tmp_path / f"{marker}.txt").touch()
    (tmp_path / "clean.txt").write_text("nothing here")
    (tmp_path / "left_out").mkdir()
    (tmp_path / "left_out" / "x").write_text(marker)
    found = search(tmp_path, leave_out=(tmp_path / "left_out",))
    assert sorted(found) == sorted(
        path.name for path in tmp_path.iterdir() if path.name not in ("clean.txt", "left_out")
    )


@pytest.mark.parametrize("text", SPELLINGS)
def test_the_search_knows_other_spellings(text: str) -> None:
    assert markers_in(text)


def test_every_text_field_of_the_files_is_planted_and_they_are_readable(planted: Path) -> None:
    scan = read_scan(planted, "000-0.dcm", dims=2, max_pixels=1 << 20)
    assert scan.patient == person(0)[0]
    markers = search(planted)["000-0.dcm"]
    assert len(markers) > 2000
    named = {name for name, value in scan.header.items() if markers_in(value)}
    assert {
        "InstitutionName",
        "PatientBirthDate",
        "StudyInstanceUID",
        "OtherPatientIDsSequence.PatientID",
    } <= named


def test_nothing_a_run_prints_names_anybody(whole_run: tuple[Path, str]) -> None:
    assert markers_in(whole_run[1]) == set()


def test_nothing_a_run_writes_names_anybody(whole_run: tuple[Path, str]) -> None:
    folder, _ = whole_run
    assert search(folder) == {}


def test_the_run_was_whole_and_used_the_patients(whole_run: tuple[Path, str]) -> None:
    folder, _ = whole_run
    manifest = pd.read_parquet(folder / "data/02_manifest/manifest.parquet")
    accepted = manifest[manifest["status"] == "ok"]
    assert len(accepted) == 40
    assert accepted["patient"].nunique() == 20
    assert accepted["patient"].str.fullmatch("p[0-9a-f]{16}").all()
    assert manifest.loc[manifest["path"].str.startswith("bad-"), "status"].ne("ok").all()
    assert (folder / "data/09_bundle/bundle.json").is_file()
    assert (folder / "mlflow.db").is_file()
    assert len(pd.read_csv(folder / "data/predictions/predictions.csv")) == 40


def test_aliases_keep_telling_paths_out(checkout: Path, tmp_path: Path) -> None:
    root = tmp_path / "scans"
    write_planted(root, patients=12, scans=1, telling_names=True)
    folder, key = _copy(checkout, tmp_path / "project"), tmp_path / "key" / "pseudonym.key"
    printed = _call(folder, key, "scanlens", "params", *_settings(root), "acquire.paths=alias")
    printed += _call(folder, key, "dvc", "repro", "preprocess")
    assert markers_in(printed) == set()
    assert search(folder) == {}
    manifest = pd.read_parquet(folder / "data/02_manifest/manifest.parquet")
    assert manifest["path"].str.startswith("@").all()
    assert (manifest["status"] == "ok").sum() == 12
    report = json.loads((folder / "data/07_reports/preprocess.json").read_text(encoding="utf-8"))
    assert report["stored"] == 12

"""What ``scanlens check --labels`` tells is what the stages do, and nothing stays behind."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from scanlens.acquire.run import acquire
from scanlens.cli import main
from scanlens.config.settings import Settings
from scanlens.errors import SettingsError
from scanlens.manifest.build import build_manifest
from scanlens.preview.run import Preview, preview, preview_text, settings_for, write_preview
from scanlens.privacy.pseudonym import KEY_VARIABLE
from scanlens.scaling.engine import IN_PROCESS
from scanlens.sources.acquired import LISTING, read_source

CLASSES = ("ill", "well")


@pytest.fixture
def scans(tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """36 noise pictures of 18 patients in two class folders, and a table of them with two mistakes."""
    monkeypatch.setenv(KEY_VARIABLE, str(tmp_path / "key"))
    monkeypatch.chdir(project)
    rng, rows, root = np.random.default_rng(0), [], tmp_path / "scans"
    for number in range(36):
        label = CLASSES[number // 2 % 2]
        path = root / label / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(number, 200, (24, 20), dtype=np.uint8)).save(path)
        rows.append({"path": f"{label}/{number}.png", "label": label, "patient": f"p{number // 2}"})
    Image.fromarray(np.zeros((24, 20), np.uint8)).save(root / "ill/blank.png")
    rows += [{**rows[0], "path": "ill/blank.png"}, {**rows[0], "path": "ill/gone.png"}]
    pd.DataFrame(rows).to_csv(root / "labels.csv", index=False)
    return root


def look(project: Path, scans: Path, labels: str = "labels.csv", *overrides: str) -> tuple[Preview, Settings]:
    settings: Settings = settings_for(project, scans, labels, overrides)
    return preview(settings.data, settings.acquire, settings.manifest, IN_PROCESS), settings


def test_it_is_what_the_stages_do(scans: Path, project: Path, tmp_path: Path) -> None:
    found, settings = look(project, scans)
    raw = tmp_path / "raw"
    acquire(settings.data, settings.acquire, raw)
    root, source = read_source(raw)
    built = build_manifest(pd.read_parquet(raw / LISTING), root, source, settings.manifest)
    pd.testing.assert_frame_equal(found.built.manifest, built.manifest)
    assert found.facts["classes"] == {"ill": 18, "well": 18}
    assert found.facts["patients_by"] == {"table": 36, "header": 0, "nobody": 0}
    (row,) = found.facts["intensities"]
    assert (row["modality"], row["scans"]) == ("OT", 36)
    text = preview_text(found)
    assert "quarantined: 2 of 38 scans" in text
    assert "finding: ill, a guess: the other class is called well; else set data.positive" in text
    assert "1 blank, e.g. ill/blank.png: blank: every pixel is 0" in text
    assert text.endswith("The pipeline would go on.")


def test_class_folders_name_no_patient(scans: Path, project: Path) -> None:
    found, _ = look(project, scans, "folders", "data.positive=well")
    assert "finding: well\n" in preview_text(found)
    assert found.facts["patients_by"] == {"table": 0, "header": 0, "nobody": 36}
    assert "36 scans name no patient" in preview_text(found)


def test_what_would_stop_the_pipeline_is_told_and_the_page_says_so_too(
    scans: Path, project: Path, tmp_path: Path
) -> None:
    table = pd.read_csv(scans / "labels.csv")
    table["split"] = np.resize(["train", "val", "test"], len(table))
    table.to_csv(scans / "labels.csv", index=False)
    found, _ = look(project, scans, "labels.csv", "manifest.split.method=official")
    assert "patients" in found.refusal
    assert "The pipeline would stop: " in preview_text(found)
    write_preview(found, tmp_path / "page.html")
    assert "The pipeline would stop here." in (tmp_path / "page.html").read_text()


def test_the_command_leaves_nothing_but_the_page(
    scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in [*scans.rglob("*"), *Path("data").rglob("*")]}
    page = tmp_path / "look.html"
    command = ["scanlens", "check", str(scans), "--labels", str(scans / "labels.csv"), "--html", str(page)]
    monkeypatch.setattr("sys.argv", [*command, "--workers=1", "--json", "-S", "manifest.split.seed=3"])
    assert main() == 0
    assert json.loads(capsys.readouterr().out)["accepted"] == 36
    assert "Data quality" in page.read_text()
    assert before == {p: p.stat().st_mtime_ns for p in [*scans.rglob("*"), *Path("data").rglob("*")]}


@pytest.mark.parametrize("option", ["--html", "--report"])
def test_a_strangers_file_is_not_replaced_and_ours_is(
    scans: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    command = ["scanlens", "check", str(scans), "--labels", "labels.csv", "--workers=1", option]
    table = scans / "labels.csv"
    before = table.read_bytes()
    monkeypatch.setattr("sys.argv", [*command, str(table)])
    assert main() == 1
    assert "labels.csv: exists, and no scanlens wrote it" in capsys.readouterr().err
    assert table.read_bytes() == before
    monkeypatch.setattr("sys.argv", [*command, str(scans.parent / "ours")])
    assert [main(), main()] == [0, 0]


def test_limits_reach_the_readers(
    scans: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["scanlens", "check", str(scans), "--labels", "labels.csv", "--max-memory", "63"]
    monkeypatch.setattr("sys.argv", command)
    assert main() == 1
    assert (
        "manifest.checks.max_memory_mib is 63; expected a whole number of at least 64"
        in capsys.readouterr().err
    )


def test_mistakes_are_named(scans: Path, project: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"absent\.csv"):
        look(project, scans, "absent.csv")
    with pytest.raises(SettingsError, match=r"data\.columns\.pation"):
        look(project, scans, "labels.csv", "data.columns.pation=id")
    with pytest.raises(SettingsError, match="project's root"):
        look(tmp_path, scans)

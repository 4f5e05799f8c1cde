"""The whole pipeline as a newcomer runs it: real DICOM files, real DVC, real MLflow, a real bundle."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.metrics import roc_auc_score

from tests.helpers.pipeline import TINY, Run

pytestmark = pytest.mark.whole
PHANTOMS = ("data.phantom.patients=40", "data.phantom.sides=[96,112]")
STAGES = (
    "acquire",
    "manifest",
    "preprocess",
    "synthesis",
    "augmentation",
    "pretraining",
    "training",
    "ensemble",
    "evaluation",
    "explanation",
    "map_scores",
    "shortcuts",
    "packaging",
    "index",
)


@pytest.fixture(scope="module")
def reproduced(checkout: Path, run: Run) -> Path:
    """The checkout after its first dvc repro."""
    run("scanlens", "params", *PHANTOMS, *TINY)
    run("dvc", "repro")
    return checkout


def test_every_stage_writes_its_outputs_and_report(reproduced: Path) -> None:
    stages = yaml.safe_load((reproduced / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    assert tuple(stages) == STAGES
    for name, stage in stages.items():
        for out in [*stage["outs"], *stage.get("metrics", [])]:
            path = next(iter(out)) if isinstance(out, dict) else out
            path = path.replace("${item.member}", "0")
            assert (reproduced / path).exists(), f"{name} did not write {path}"
        file = "members/0.json" if name == "training" else f"{name}.json"
        report = json.loads((reproduced / "data/07_reports" / file).read_text(encoding="utf-8"))
        assert report, name
    assert not list((reproduced / "data").rglob("*.part")), "something half-written was left"


def test_no_patient_is_in_two_splits(reproduced: Path) -> None:
    manifest = pd.read_parquet(reproduced / "data/02_manifest/manifest.parquet")
    accepted = manifest[manifest["status"] == "ok"]
    assert set(accepted["split"]) == {"train", "val", "test"}
    assert accepted.groupby("patient")["split"].nunique().max() == 1


def test_made_scans_descend_from_training_scans_only(reproduced: Path) -> None:
    store = pd.read_parquet(reproduced / "data/03_preprocessed/index.parquet")
    train = set(store.loc[store["split"] == "train", "scan_id"])
    bank = pd.read_parquet(reproduced / "data/05_augmented/index.parquet")
    made = pd.read_parquet(reproduced / "data/04_synthetic/index.parquet")
    assert set(bank["split"]) | set(made["split"]) == {"train"}
    assert {str(parent) for parents in bank["parents"] for parent in np.atleast_1d(parents)} <= train


def test_reported_auc_is_scikit_learns(reproduced: Path) -> None:
    table = pd.read_parquet(reproduced / "data/07_reports/predictions.parquet")
    test = table[table["split"] == "test"]
    labels = ["normal", "nodule", "opacity", "effusion"]
    aucs = [roc_auc_score(test["label"] == label, test[f"probability_{label}"]) for label in labels]
    metrics = json.loads((reproduced / "data/07_reports/metrics.json").read_text(encoding="utf-8"))
    assert metrics["test"]["auc_macro"]["value"] == pytest.approx(np.mean(aucs), abs=1e-9)


@pytest.mark.parametrize("runtime", ["onnx", "torch"])
def test_the_bundle_repeats_the_evaluation_from_raw_files(
    reproduced: Path, run: Run, tmp_path: Path, runtime: str
) -> None:
    raw = str(reproduced / "data/01_raw/acquired/scans")
    run(
        "scanlens", "predict", "--bundle", "data/09_bundle", "--input", raw, "--output", str(tmp_path),
        "--runtime", runtime,
    )  # fmt: skip
    predicted = pd.read_csv(tmp_path / "predictions.csv")
    assert pd.read_csv(tmp_path / "failures.csv").empty
    manifest = pd.read_parquet(reproduced / "data/02_manifest/manifest.parquet")
    manifest["path"] = manifest["path"].str.removeprefix("scans/")
    evaluated = pd.read_parquet(reproduced / "data/07_reports/predictions.parquet")
    both = evaluated.merge(manifest[["scan_id", "path"]], on="scan_id").merge(
        predicted, on="path", suffixes=("", "_bundle")
    )
    assert len(both) == len(evaluated)
    for label in ("normal", "nodule", "opacity", "effusion"):
        difference = (both[f"probability_{label}"] - both[f"probability_{label}_bundle"]).abs().max()
        assert difference < 1e-4
    assert (tmp_path / predicted["map"][0]).is_file()


def test_nothing_is_done_twice(reproduced: Path, run: Run) -> None:
    assert "Data and pipelines are up to date" in run("dvc", "repro").stdout


def test_another_machine_retrains_nothing(reproduced: Path, run: Run) -> None:
    run("scanlens", "params", *PHANTOMS, *TINY, "runtime=cpu", "tracking=off")
    assert "up to date" in run("dvc", "status").stdout
    run("scanlens", "params", *PHANTOMS, *TINY)


def test_the_run_is_tracked_with_its_metrics_and_bundle(reproduced: Path, run: Run) -> None:
    rows = json.loads(run("scanlens", "compare", "--json").stdout)["runs"]
    assert rows[0]["status"] == "FINISHED"
    metrics = json.loads((reproduced / "data/07_reports/metrics.json").read_text(encoding="utf-8"))
    assert rows[0]["metrics"]["test.auc_macro"] == pytest.approx(metrics["test"]["auc_macro"]["value"])
    assert {"val_loss", "train_loss"} <= set(rows[0]["metrics"])
    artefacts = {path.name for path in (reproduced / "mlruns").rglob("*") if path.is_file()}
    assert {"bundle.json", "report.html", "maps-00000.npy", "roc.png"} <= artefacts
    assert not [name for name in artefacts if name.endswith((".pkl", ".pickle"))]


def test_an_experiment_changes_what_it_names(reproduced: Path, run: Run) -> None:
    before = (reproduced / "params.yaml").read_text(encoding="utf-8")
    run("git", "add", "-A")
    run("git", "commit", "-qm", "reproduced")
    overrides = [part for value in (*PHANTOMS, *TINY, "training.lr=0.001") for part in ("-S", value)]
    run("dvc", "exp", "run", "-n", "slower", *overrides)
    after = (reproduced / "params.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(after)["training"]["lr"] == 0.001
    assert before.replace("lr: 0.003", "lr: 0.001", 2) != before
    rows = json.loads(run("scanlens", "compare", "--json").stdout)["runs"]
    assert rows[0]["changed"]["training.lr"] != rows[1]["changed"]["training.lr"]
    shown = run("dvc", "exp", "show", "--json").stdout
    assert "slower" in shown


def test_a_wrong_setting_stops_before_any_work(reproduced: Path, run: Run) -> None:
    result = run("scanlens", "params", "training.lrr=1", expect=1)
    assert "Did you mean lr?" in result.stderr
    assert "Traceback" not in result.stderr
    refused = run("dvc", "exp", "run", "-S", "model=resnet19", expect=255)
    assert "resnet19" in refused.stderr
    assert "resnet18" in refused.stderr

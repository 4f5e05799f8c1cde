"""Numbers and ordered classes through the whole pipeline, from a table of PNG files to predictions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.stats import spearmanr
from sklearn.metrics import cohen_kappa_score, mean_absolute_error, r2_score

from tests.helpers.pipeline import TINY, Run

pytestmark = pytest.mark.whole
SCANS = 120
SETTINGS = (
    *TINY, "data=table", "data.table=labels.csv", "model=cnn", "preprocess.size=32", "training.epochs=6",
    "training.augment=false", "training.use_synthetic=false", "packaging.onnx=true",
)  # fmt: skip


def write_scans(folder: Path, label_of: Callable[[float], str]) -> None:
    """Noise whose mean brightness decides the label."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    rows = []
    for number in range(SCANS):
        brightness = rng.uniform(0.2, 0.8)
        pixels = np.clip(brightness + rng.normal(0, 0.1, (48, 48)), 0, 1)
        Image.fromarray(np.rint(pixels * 255).astype(np.uint8)).save(folder / f"{number:03d}.png")
        rows.append({"path": f"{number:03d}.png", "label": label_of(brightness), "patient_id": f"p{number}"})
    pd.DataFrame(rows).to_csv(folder / "labels.csv", index=False)


def metrics_of(checkout: Path) -> dict[str, dict[str, dict[str, float]]]:
    found: dict[str, dict[str, dict[str, float]]] = json.loads(
        (checkout / "data/07_reports/metrics.json").read_text(encoding="utf-8")
    )
    return found


def test_a_number_is_learnt_measured_explained_and_predicted(
    checkout: Path, run: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "scans"
    write_scans(folder, lambda brightness: f"{100 + 40 * brightness:.3f}")
    table = pd.read_csv(folder / "labels.csv", dtype=str)
    table.loc[0, "label"] = "bright"
    table.to_csv(folder / "labels.csv", index=False)
    settings = (*SETTINGS, f"data.root={folder}", "preprocess.intensity=minmax", "preprocess.range=zscore")
    # 95 % would need 19 validation scans.
    run("scanlens", "params", "data.task=regression", "evaluation.confidence=0.8", *settings)
    run("dvc", "repro")

    quarantine = pd.read_csv(checkout / "data/02_manifest/quarantine.csv")
    assert quarantine["path"].tolist() == ["000.png"]
    assert "no finite number" in quarantine["reason"].iloc[0]

    predictions = pd.read_parquet(checkout / "data/07_reports/predictions.parquet")
    test = predictions[predictions["split"] == "test"]
    metrics = metrics_of(checkout)["test"]
    assert metrics["mae"]["value"] == pytest.approx(mean_absolute_error(test["label"], test["predicted"]))
    assert metrics["r2"]["value"] == pytest.approx(r2_score(test["label"], test["predicted"]))
    expected = spearmanr(test["label"], test["predicted"]).statistic
    assert metrics["spearman"]["value"] == pytest.approx(expected)
    assert test["predicted"].between(80, 160).all(), "predictions are not in the labels' unit"

    maps = np.load(checkout / "data/08_maps/maps-00000.npy")
    index = pd.read_parquet(checkout / "data/08_maps/index.parquet")
    assert np.allclose(maps.reshape(len(maps), -1).mean(1), index["predicted"], rtol=1e-4)
    assert (checkout / "data/08_maps/gallery.html").is_file()

    for runtime in ("onnx", "torch"):
        output = tmp_path / runtime
        run(
            "scanlens", "predict", "--bundle", "data/09_bundle", "--input", str(folder), "--output",
            str(output), "--runtime", runtime,
        )  # fmt: skip
        written = pd.read_csv(output / "predictions.csv")
        known = predictions.set_index("scan_id")
        both = written[written["scan_id"].isin(known.index)].set_index("scan_id")
        assert len(both) == len(predictions)
        assert np.allclose(both["value"], known.loc[both.index, "predicted"], rtol=1e-4)
        assert both["high"].notna().all()
        assert np.allclose(both["high"] - both["low"], (known["high"] - known["low"]).iloc[0], rtol=1e-3)
    card = (checkout / "data/09_bundle/MODEL_CARD.md").read_text(encoding="utf-8")
    assert "Predicts a number" in card
    assert "| mae |" in card


def test_ordered_classes_are_measured_in_classes(checkout: Path, run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "scans"
    write_scans(folder, lambda brightness: ("dark", "grey", "light")[min(2, int((brightness - 0.2) / 0.2))])
    run("scanlens", "params", "data.task=ordinal", *SETTINGS, f"data.root={folder}")
    refused = run("dvc", "repro", expect=255)
    assert "order of the classes is not known" in refused.stdout + refused.stderr
    labels = "data.labels=[dark,grey,light]"
    run("scanlens", "params", "data.task=ordinal", labels, *SETTINGS, f"data.root={folder}")
    run("dvc", "repro")

    predictions = pd.read_parquet(checkout / "data/07_reports/predictions.parquet")
    test = predictions[predictions["split"] == "test"]
    order = {"dark": 0, "grey": 1, "light": 2}
    targets, predicted = test["label"].map(order), test["predicted"].map(order)
    metrics = metrics_of(checkout)["test"]
    assert metrics["mae_classes"]["value"] == pytest.approx((targets - predicted).abs().mean())
    assert metrics["within_one"]["value"] == pytest.approx(((targets - predicted).abs() <= 1).mean())
    kappa = cohen_kappa_score(targets, predicted, weights="quadratic", labels=[0, 1, 2])
    if np.isfinite(kappa):
        assert metrics["kappa_quadratic"]["value"] == pytest.approx(kappa)
    model = json.loads((checkout / "data/06_models/trained/model.json").read_text(encoding="utf-8"))
    assert model["architecture"]["head"] == "ordinal"
    assert json.loads((checkout / "data/09_bundle/bundle.json").read_text())["task"] == "ordinal"

"""The whole evaluation: files read back, determinism, what test scans must not touch, edge cases."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import accuracy_score, auc, roc_auc_score

from scanlens.config.schema import Evaluation
from scanlens.errors import ScanlensError
from scanlens.evaluation.cautions import descent_cautions
from scanlens.evaluation.metrics import SCALARS
from scanlens.evaluation.run import evaluate
from scanlens.tasks import task_of

LABELS = ["normal", "nodule", "opacity"]
FILES = {
    "predictions.parquet",
    "calibration.json",
    "metrics.json",
    "evaluation.json",
    "report.html",
    *(f"plots/{name}.csv" for name in ("roc", "confusion", "reliability")),
    *(f"figures/{name}.png" for name in ("roc", "confusion", "reliability")),
}


def strict(path: Path) -> Any:
    """JSON without NaN or Infinity."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} in {path.name}")

    return json.loads(path.read_text(), parse_constant=refuse)


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_every_file_is_there_and_agrees(make_case: Callable, config: Evaluation, tmp_path: Path) -> None:
    logits, index = make_case(180, LABELS)
    facts = evaluate(logits, index, LABELS, config, tmp_path)
    assert set(digests(tmp_path)) == FILES, "and no temporary file"
    assert strict(tmp_path / "evaluation.json") == facts

    table = pd.read_parquet(tmp_path / "predictions.parquet")
    test = table[table["split"] == "test"]
    probabilities = test[[f"probability_{label}" for label in LABELS]].to_numpy()
    metrics = strict(tmp_path / "metrics.json")
    assert set(metrics) == {"test", "val"}
    assert list(metrics["test"]) == list(SCALARS)
    value = roc_auc_score(
        test["label"], probabilities[:, np.argsort(LABELS)], multi_class="ovr", average="macro"
    )
    assert metrics["test"]["auc_macro"]["value"] == pytest.approx(value, rel=1e-12)
    assert metrics["test"]["accuracy"]["value"] == accuracy_score(test["label"], test["predicted"])
    assert metrics["val"]["accuracy"] == facts["val"]["accuracy"]["value"]
    for name, entry in metrics["test"].items():
        assert entry["low"] < entry["value"] < entry["high"], name

    calibration = strict(tmp_path / "calibration.json")
    assert calibration == {
        "method": "temperature",
        "temperature": facts["calibration"]["temperature"],
        "set_threshold": facts["sets"]["threshold"],
        "confidence": config.confidence,
    }
    held = test[[f"in_set_{label}" for label in LABELS]].to_numpy()
    own = test["label"].map(LABELS.index).to_numpy()
    assert facts["sets"]["test"]["coverage"]["value"] == held[np.arange(len(test)), own].mean()
    assert ((probabilities >= facts["sets"]["threshold"]) <= held).all()
    assert (test["abstained"] == (held.sum(axis=1) > 1)).all()
    assert calibration["temperature"] > 1.5, "the logits were made three times too large"
    for split in ("val", "test"):
        before, after = (facts["calibration"][split][when] for when in ("before", "after"))
        assert after["nll"] < before["nll"]
        assert after["nll"] == pytest.approx(facts[split]["nll"]["value"], rel=1e-9)
        assert after["ece"] == facts[split]["ece"]["value"]

    most = test["label"].value_counts(normalize=True)
    assert facts["baseline"]["accuracy"] == pytest.approx(most.max())
    assert facts["counts"]["test"]["scans"] == len(test)
    assert facts["counts"]["test"]["patients"] == test["patient"].nunique()
    assert np.array(facts["confusion"]["test"]).sum() == len(test)


def test_ordered_classes_are_measured_in_classes_too(
    make_case: Callable, config: Evaluation, tmp_path: Path
) -> None:
    logits, index = make_case(90, LABELS)
    task = task_of("ordinal")
    facts = evaluate(logits, index, LABELS, config, tmp_path, task=task)
    for split in ("val", "test"):
        assert list(facts[split]) == list(task.metrics)
    table = pd.read_parquet(tmp_path / "predictions.parquet")
    test = table[table["split"] == "test"]
    off = (test["label"].map(LABELS.index) - test["predicted"].map(LABELS.index)).abs()
    assert facts["test"]["mae_classes"]["value"] == pytest.approx(off.mean())
    assert facts["test"]["mae_classes"]["low"] < off.mean() < facts["test"]["mae_classes"]["high"]
    assert task.metrics["within_one"].title in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_plots_read_back(make_case: Callable, config: Evaluation, tmp_path: Path) -> None:
    logits, index = make_case(180, LABELS)
    facts = evaluate(logits, index, LABELS, config, tmp_path)
    roc = pd.read_csv(tmp_path / "plots" / "roc.csv")
    assert list(roc.columns) == ["class", "fpr", "tpr"]
    for label, curve in roc.groupby("class"):
        area = facts["per_class"]["test"][label]["auc"]["value"]
        assert auc(curve["fpr"], curve["tpr"]) == pytest.approx(area, rel=1e-9)
    confused = pd.read_csv(tmp_path / "plots" / "confusion.csv")
    assert list(confused.columns) == ["actual", "predicted"]
    counted = pd.crosstab(confused["actual"], confused["predicted"]).loc[LABELS, LABELS].to_numpy()
    assert counted.tolist() == facts["confusion"]["test"]
    bins = pd.read_csv(tmp_path / "plots" / "reliability.csv")
    after = bins[bins["calibration"] == "after"]
    assert after["scans"].sum() == len(confused)
    gap = np.average((after["accuracy"] - after["confidence"]).abs(), weights=after["scans"])
    assert gap == pytest.approx(facts["test"]["ece"]["value"], rel=1e-9)


def test_figures_and_report(make_case: Callable, config: Evaluation, tmp_path: Path) -> None:
    logits, index = make_case(180, [*LABELS[:2], "<b>$x_y$"])
    settings = dict(mpl.rcParams)
    facts = evaluate(logits, index, [*LABELS[:2], "<b>$x_y$"], config, tmp_path)
    assert dict(mpl.rcParams) == settings, "no global state is left behind"
    for name in ("roc", "confusion", "reliability"):
        with Image.open(tmp_path / "figures" / f"{name}.png") as picture:
            assert min(picture.size) > 600
            assert len(set(picture.convert("L").tobytes())) > 20, "drawn, not blank"
    page = (tmp_path / "report.html").read_text()
    assert "<b>$x_y$" not in page, "labels are escaped"
    assert "&lt;b&gt;$x_y$" in page
    assert page.count("data:image/png;base64,") == 3
    assert not re.search(r"(src|href)=\"(?!data:)", page), "nothing is loaded from elsewhere"
    for name in ("auc_macro", "accuracy"):
        entry = facts["test"][name]
        assert f"{entry['low']:.3f} to {entry['high']:.3f}" in page
    for warning in facts["warnings"]:
        assert warning.split(":")[0].split("<")[0] in page


def test_the_same_input_gives_the_same_bytes(make_case: Callable, config: Evaluation, tmp_path: Path) -> None:
    for name in ("first", "second"):
        logits, index = make_case(120, LABELS)
        evaluate(logits, index, LABELS, config, tmp_path / name)
    assert digests(tmp_path / "first") == digests(tmp_path / "second")
    evaluate(logits, index, LABELS, config, tmp_path / "first")
    assert digests(tmp_path / "first") == digests(tmp_path / "second"), "writing again replaces whole files"


def test_test_labels_tune_nothing(make_case: Callable, config: Evaluation, tmp_path: Path) -> None:
    logits, index = make_case(180, LABELS)
    facts = evaluate(logits, index, LABELS, config, tmp_path / "true")
    on_test = index["split"] == "test"
    shuffled = index.copy()
    shuffled.loc[on_test, "label"] = np.random.default_rng(1).permutation(index.loc[on_test, "label"])
    others = evaluate(logits, shuffled, LABELS, config, tmp_path / "shuffled")
    assert others["test"]["accuracy"]["value"] < facts["test"]["accuracy"]["value"]
    assert others["val"] == facts["val"]
    fitted = [(tmp_path / run / "calibration.json").read_bytes() for run in ("true", "shuffled")]
    assert fitted[0] == fitted[1]
    tables = [pd.read_parquet(tmp_path / run / "predictions.parquet") for run in ("true", "shuffled")]
    pd.testing.assert_frame_equal(tables[0].drop(columns="label"), tables[1].drop(columns="label"))
    assert not any("clearly above" in warning for warning in facts["warnings"])
    assert any("clearly above" in warning for warning in others["warnings"])


def test_calibration_can_be_switched_off(make_case: Callable, config: Evaluation, tmp_path: Path) -> None:
    off = dataclasses.replace(config, calibration="none", bootstrap=0)
    logits, index = make_case(90, LABELS)
    facts = evaluate(logits, index, LABELS, off, tmp_path)
    nothing = {"method": "none", "temperature": 1.0, "set_threshold": None, "confidence": off.confidence}
    assert strict(tmp_path / "calibration.json") == nothing
    assert facts["sets"] == {"threshold": None, "reason": "evaluation.calibration is none"}
    assert "There are none: evaluation.calibration is none." in (tmp_path / "report.html").read_text()
    assert "abstained" not in pd.read_parquet(tmp_path / "predictions.parquet")
    assert facts["calibration"]["test"]["before"] == facts["calibration"]["test"]["after"]
    assert facts["test"]["accuracy"]["low"] is None
    assert any("switched off" in warning for warning in facts["warnings"])


def test_two_classes(make_case: Callable, config: Evaluation, tmp_path: Path) -> None:
    labels = ["benign", "malignant"]
    logits, index = make_case(120, labels)
    facts = evaluate(logits, index, labels, config, tmp_path)
    table = pd.read_parquet(tmp_path / "predictions.parquet").query("split == 'test'")
    ordinary = roc_auc_score(table["label"] == "malignant", table["probability_malignant"])
    assert facts["test"]["auc_macro"]["value"] == ordinary
    assert set(pd.read_csv(tmp_path / "plots" / "roc.csv")["class"]) == {"malignant"}
    assert "Sensitivity for malignant" in (tmp_path / "report.html").read_text()


def test_a_class_without_test_scans(make_case: Callable, config: Evaluation, tmp_path: Path) -> None:
    logits, index = make_case(180, LABELS)
    keep = ~((index["split"] == "test") & (index["label"] == "nodule")).to_numpy()
    facts = evaluate(logits[keep], index[keep], LABELS, config, tmp_path)
    absent = facts["per_class"]["test"]["nodule"]
    assert absent["auc"] == {"value": None, "low": None, "high": None, "reason": "no test scan of nodule"}
    there = [facts["per_class"]["test"][label]["auc"]["value"] for label in ("normal", "opacity")]
    assert facts["test"]["auc_macro"]["value"] == pytest.approx(np.mean(there))
    assert facts["test"]["auc_macro"]["note"] == "over 2 of 3 classes: no test scan of nodule"
    assert any("No test scan of nodule" in warning for warning in facts["warnings"])
    assert set(pd.read_csv(tmp_path / "plots" / "roc.csv")["class"]) == {"normal", "opacity"}


def test_one_class_alone(make_case: Callable, config: Evaluation, tmp_path: Path) -> None:
    logits, index = make_case(180, LABELS)
    keep = ((index["split"] == "val") | (index["label"] == "nodule")).to_numpy()
    facts = evaluate(logits[keep], index[keep], LABELS, config, tmp_path)
    assert facts["test"]["auc_macro"]["value"] is None
    assert facts["test"]["auc_macro"]["reason"] == "every test scan has the same label"
    assert facts["test"]["accuracy"]["low"] is not None
    assert strict(tmp_path / "metrics.json")["test"]["auc_macro"]["value"] is None
    assert set(digests(tmp_path)) == FILES


@pytest.mark.parametrize("gone", ["val", "test"])
def test_an_empty_split(make_case: Callable, config: Evaluation, tmp_path: Path, gone: str) -> None:
    logits, index = make_case(120, LABELS)
    keep = (index["split"] != gone).to_numpy()
    facts = evaluate(logits[keep], index[keep], LABELS, config, tmp_path)
    assert set(digests(tmp_path)) == FILES
    assert facts[gone]["accuracy"]["value"] is None
    assert f"no {gone} scan" in facts[gone]["accuracy"]["reason"]
    assert any(f"no {gone} scan" in warning for warning in facts["warnings"])
    if gone == "val":
        calibration = strict(tmp_path / "calibration.json")
        assert (calibration["method"], calibration["temperature"]) == ("none", 1.0)
        assert facts["sets"]["reason"] == "0 validation scans are too few for this confidence"
        assert any("no validation scan" in warning for warning in facts["warnings"])


def test_cautions_about_patients(make_case: Callable, config: Evaluation, tmp_path: Path) -> None:
    logits, index = make_case(60, LABELS)
    index["patient"] = np.where(index["split"] == "test", "p0", index["patient"])
    facts = evaluate(logits, index, LABELS, config, tmp_path)
    said = " ".join(facts["warnings"])
    assert facts["test"]["accuracy"]["low"] is None
    assert "1 patient(s): resampling needs at least two" in said
    assert "only 1 test patients" in said
    assert "1 patient(s) are in more than one split" in said, "p0 is in val too"
    unknown = evaluate(logits, index.assign(patient=""), LABELS, config, tmp_path)
    assert "patient of 39 of 39 test scans is unknown" in " ".join(unknown["warnings"])
    assert unknown["counts"]["test"]["patients"] == unknown["counts"]["test"]["scans"]


def test_a_perfect_network_is_not_called_certain(
    make_case: Callable, config: Evaluation, tmp_path: Path
) -> None:
    _, index = make_case(60, LABELS)
    logits = 2.0 * np.eye(3)[[LABELS.index(label) for label in index["label"]]]
    facts = evaluate(logits, index, LABELS, config, tmp_path)
    assert facts["calibration"]["temperature"] == 1.0
    said = " ".join(facts["warnings"])
    assert "no temperature can be fitted" in said
    assert "No resample changed auc_macro, accuracy" in said


def test_training_scans_are_shown_without_intervals(
    make_case: Callable, config: Evaluation, tmp_path: Path
) -> None:
    logits, index = make_case(180, LABELS)
    without = evaluate(logits, index, LABELS, config, tmp_path / "without")
    more_logits, more = make_case(60, LABELS, seed=9)
    more = more.assign(split="train", scan_id=[f"t{row}" for row in range(60)], patient="t" + more["patient"])
    facts = evaluate(
        np.concatenate([more_logits, logits]),
        pd.concat([more, index], ignore_index=True),
        LABELS,
        config,
        tmp_path / "with",
    )
    assert facts["train"]["accuracy"]["low"] is None
    assert facts["test"] == without["test"]
    assert facts["calibration"] == without["calibration"]
    assert facts["warnings"] == without["warnings"]


def test_nan_logits_write_nothing(make_case: Callable, config: Evaluation, tmp_path: Path) -> None:
    logits, index = make_case(30, LABELS)
    logits[7, 1] = np.nan
    with pytest.raises(ScanlensError, match="NaN"):
        evaluate(logits, index, LABELS, config, tmp_path)
    assert not any(tmp_path.iterdir())


def test_pretraining_is_a_caution_of_out_of_fold_numbers(
    make_case: Callable, config: Evaluation, tmp_path: Path
) -> None:
    logits, index = make_case(90, LABELS)
    members = np.where(index["split"] == "val", np.arange(len(index)) % 2, -1)
    for first_weights, judged, expected in (
        ("pretraining", members, 1), ("none", members, 0), ("pretraining", np.full(len(index), -1), 0),
    ):  # fmt: skip
        known = descent_cautions(first_weights, judged)
        assert len(known) == expected
        facts = evaluate(logits, index, LABELS, config, tmp_path, judged, further=known)
        assert ("descend from them" in " ".join(facts["warnings"])) == bool(expected)
        assert ("descend from them" in (tmp_path / "report.html").read_text()) == bool(expected)

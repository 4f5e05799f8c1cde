"""The report of a number: files read back, what test scans must not touch, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import mean_absolute_error, root_mean_squared_error

from scanlens.config.schema import Evaluation
from scanlens.errors import ScanlensError
from scanlens.evaluation.run import evaluate
from scanlens.tasks import task_of

FILES = {
    "predictions.parquet", "calibration.json", "metrics.json", "evaluation.json", "plots/numbers.csv",
    "figures/scatter.png", "figures/bland_altman.png", "report.html",
}  # fmt: skip


def config(**changes: Any) -> Evaluation:
    default = {"bootstrap": 50, "confidence": 0.9, "calibration": "temperature", "seed": 0}
    return Evaluation(**{**default, **changes})


def case(scans: int = 60, noise: float = 5.0) -> tuple[np.ndarray, pd.DataFrame]:
    """Predictions, and an index in which validation and test take turns, two scans a patient."""
    rng = np.random.default_rng(0)
    targets = np.round(rng.normal(120, 15, scans), 1)
    rows = np.arange(scans)
    index = pd.DataFrame(
        {
            "scan_id": [f"{row:016x}" for row in rows],
            "patient": [f"p{row % 2}-{row // 4}" for row in rows],
            "split": np.where(rows % 2, "test", "val"),
            "site": "north",
            "path": [f"SMITH/{row}.dcm" for row in rows],
            "label": [repr(float(value)) for value in targets],
        }
    )
    return targets + rng.normal(0, noise, scans), index


def run(output: Path, predicted: Any, index: pd.DataFrame, *known: str, **changes: Any) -> dict[str, Any]:
    task = task_of("regression")
    return evaluate(
        predicted[:, None], index, ["age"], config(**changes), output, task=task, further=known,
        training_mean=120.0,
    )  # fmt: skip


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def refused(word: str) -> None:
    raise AssertionError(f"{word} is no JSON")


def test_every_file_is_there_and_says_the_same(tmp_path: Path) -> None:
    predicted, index = case()
    facts = run(tmp_path, predicted, index)
    assert set(content(tmp_path)) == FILES
    read = {
        name: json.loads((tmp_path / name).read_text(encoding="utf-8"), parse_constant=refused)
        for name in ("evaluation.json", "metrics.json", "calibration.json")
    }
    assert read["evaluation.json"] == facts
    width = facts["calibration"]["half_width"]
    assert read["calibration.json"] == {
        "method": "conformal", "temperature": 1.0, "half_width": width, "confidence": 0.9
    }  # fmt: skip
    table = pd.read_parquet(tmp_path / "predictions.parquet")
    assert table["scan_id"].tolist() == index["scan_id"].tolist()
    assert "path" not in table.columns, "a path may name a patient"
    assert table["error"].tolist() == (predicted - index["label"].astype(float)).tolist()
    plotted = pd.read_csv(tmp_path / "plots/numbers.csv")
    test = table[table["split"] == "test"].reset_index(drop=True)
    pd.testing.assert_frame_equal(plotted, test[["label", "predicted", "low", "high"]])
    for name in ("scatter", "bland_altman"):
        with Image.open(tmp_path / f"figures/{name}.png") as picture:
            picture.verify()
    for split in ("val", "test"):
        own = table[table["split"] == split]
        mae = mean_absolute_error(own["label"], own["predicted"])
        rmse = root_mean_squared_error(own["label"], own["predicted"])
        assert [facts[split][name]["value"] for name in ("mae", "rmse")] == pytest.approx([mae, rmse])
        counts = facts["counts"][split]
        assert (counts["scans"], counts["patients"]) == (len(own), own["patient"].nunique())
        assert counts["std"] == pytest.approx(np.std(own["label"]))


def test_test_scans_change_neither_the_width_nor_validation(tmp_path: Path) -> None:
    predicted, index = case()
    before = run(tmp_path / "a", predicted, index)
    after = run(tmp_path / "b", np.where(index["split"] == "test", 0.0, predicted), index)
    assert after["val"] == before["val"]
    assert after["calibration"] == {**before["calibration"], "coverage": 0.0}
    assert after["test"]["mae"]["value"] > before["test"]["mae"]["value"]


def test_same_input_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        run(tmp_path / name, *case())
    assert content(tmp_path / "a") == content(tmp_path / "b")


def test_what_a_reader_must_know_is_said(tmp_path: Path) -> None:
    predicted, index = case(noise=40.0)
    index.loc[index["patient"] == "p1-0", "patient"] = "p0-0"
    said = run(tmp_path, predicted, index, "Seen before.")["warnings"]
    assert said[0] == "Seen before."
    for part in ("1 patient(s) are in more than one split", "only 15 test patients", "not clearly below"):
        assert any(part in line for line in said), part
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Seen before." in page


def test_predictions_that_are_all_the_same_have_no_correlation(tmp_path: Path) -> None:
    predicted, index = case()
    test = run(tmp_path, np.full_like(predicted, 120.1), index)["test"]
    for name in ("pearson", "spearman"):
        assert test[name]["value"] is None
        assert test[name]["reason"] == "labels or predictions are all the same"
    assert test["r2"]["value"] < 0.1


def test_scans_of_unknown_patient_count_alone_and_one_patient_has_no_interval(tmp_path: Path) -> None:
    predicted, index = case(20)
    facts = run(tmp_path / "unknown", predicted, index.assign(patient=None))
    assert facts["counts"]["test"]["patients"] == facts["counts"]["test"]["scans"] == 10
    facts = run(tmp_path / "one", predicted, index.assign(patient="p"))
    assert facts["test"]["mae"]["low"] is None
    assert any(line.startswith("The test metrics have no interval: 1 patient") for line in facts["warnings"])


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("short", r"\(59,\) predictions for 60 scans"),
        ("none", r"\(0,\) predictions for 0 scans.*manifest\.split"),
        ("infinite", r"numbers for 2 scans.*training\.lr"),
    ],
    ids=["fewer predictions", "no scans", "not finite"],
)
def test_what_cannot_be_evaluated_is_refused_and_nothing_written(
    tmp_path: Path, broken: str, message: str
) -> None:
    predicted, index = case()
    if broken == "short":
        predicted = predicted[1:]
    elif broken == "none":
        predicted, index = predicted[:0], index[:0]
    elif broken == "infinite":
        predicted[[0, 7]] = np.nan, np.inf
    with pytest.raises(ScanlensError, match=message):
        run(tmp_path / "out", predicted, index)
    assert not (tmp_path / "out").exists()


def test_a_report_that_could_not_be_drawn_leaves_no_facts(tmp_path: Path) -> None:
    """The last file is what tells that a report is whole."""
    (tmp_path / "figures").write_text("in the way")
    with pytest.raises(FileExistsError):
        run(tmp_path, *case())
    assert not {"evaluation.json", "metrics.json", "report.html"} & set(content(tmp_path))
    assert not [name for name in content(tmp_path) if name.endswith(".part")]


def test_a_report_without_test_scans_shows_no_figures_of_an_earlier_one(tmp_path: Path) -> None:
    predicted, index = case()
    run(tmp_path, predicted, index)
    assert list((tmp_path / "figures").iterdir())
    held = (index["split"] == "val").to_numpy()
    run(tmp_path, predicted[held], index[held].reset_index(drop=True))
    assert not list((tmp_path / "figures").iterdir())
    assert "<img" not in (tmp_path / "report.html").read_text(encoding="utf-8")

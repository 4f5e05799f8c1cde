"""The registered model loads by MLflow alone and answers as batch inference does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest

import scanlens.inference.pyfunc
from scanlens.inference.batch import predict_batch
from scanlens.inference.bundle import open_bundle
from scanlens.inference.runtime import choose_runtime
from scanlens.tracking.runs import open_run
from tests.helpers.tiny import tracking, write_bundle, write_scan

SETTINGS: dict[str, Any] = {"model": {"name": "cnn"}, "data": {"kind": "test"}}


def register_and_load(bundle: Path, labels: list[str], folder: Path) -> mlflow.pyfunc.PyFuncModel:
    with open_run(tracking(folder), SETTINGS, {}) as run:
        version = run.register_bundle(bundle, Path(scanlens.inference.pyfunc.__file__), "tiny", labels)
    return mlflow.pyfunc.load_model(f"models:/tiny/{version}")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    before = mlflow.get_tracking_uri()
    yield
    mlflow.set_tracking_uri(before)


def test_it_answers_as_batch_inference_does(tiny_bundle: Path, tmp_path: Path) -> None:
    paths = [str(write_scan(tmp_path / "scans" / f"{number}.png", number)) for number in (2, 0, 1)]
    (tmp_path / "scans" / "bad.png").write_bytes(b"")
    model = register_and_load(tiny_bundle, ["dark", "bright"], tmp_path)
    answer = model.predict(pd.DataFrame({"path": [*paths, str(tmp_path / "scans" / "bad.png")]}))
    assert answer.columns.tolist() == ["label", "probability_dark", "probability_bright"]
    bundle = open_bundle(tiny_bundle)
    predict_batch(
        bundle,
        choose_runtime(bundle, "onnx", 1)[1],
        tmp_path / "scans",
        tmp_path / "out",
        batch_size=4,
        maps=False,
    )
    expected = pd.read_csv(tmp_path / "out" / "predictions.csv").set_index("path")
    for path, (_, row) in zip(paths, answer.iterrows(), strict=False):
        own = expected.loc[Path(path).name]
        assert row["label"] == own["label"]
        assert row["probability_dark"] == pytest.approx(own["probability_dark"], abs=2e-6)
    # Unreadable: no label, no numbers, and still a row in its place.
    assert answer["label"].iloc[3] == ""
    assert np.isnan(answer.iloc[3, 1:].astype(float)).all()


def test_labels_that_look_like_numbers_or_nothing_stay_text(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "made", ("007", "NA"), onnx=False)
    labels = set()
    model = register_and_load(bundle, ["007", "NA"], tmp_path)
    for level in (10, 250):
        import cv2

        image = np.full((16, 16), level, np.uint8)
        image[0, 0], image[0, 1] = 0, 255
        (tmp_path / f"{level}.png").write_bytes(cv2.imencode(".png", image)[1].tobytes())
        answer = model.predict(pd.DataFrame({"path": [str(tmp_path / f"{level}.png")]}))
        best = answer[["probability_007", "probability_NA"]].iloc[0].to_numpy(float).argmax()
        assert answer["label"].tolist() == [["007", "NA"][best]]
        labels.add(answer["label"].iloc[0])
    assert labels <= {"007", "NA"}

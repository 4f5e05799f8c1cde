"""Runs in a real MLflow store; and that tracking never stops the work."""

from __future__ import annotations

import dataclasses
import math
import time
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

import scanlens.inference.pyfunc
from scanlens.atomic import write_json
from scanlens.config.schema import Tracking
from scanlens.tracking.runs import SETTINGS, WEIGHTS_TAG, Run, data_tags, open_run

TAGS = {"scanlens.data_hash": "abc"}


def test_a_run_holds_parameters_tags_metrics_and_files(
    local: Tracking, client: MlflowClient, settings: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "table.csv").write_text("a\n")
    (tmp_path / "card.md").write_text("card")
    with open_run(local, settings, TAGS) as run:
        run.log_metrics({"val_loss": 0.5}, 0)
        run.log_metrics({"val_loss": 0.25, "val_auc": math.nan}, 1)
        run.set_tags({WEIGHTS_TAG: "w1"})
        run.log_files(tmp_path / "folder", "plots")
        run.log_files(tmp_path / "card.md")
    found = client.get_run(run.run_id)
    assert found.info.status == "FINISHED"
    assert found.info.run_name == "cnn-phantom"
    assert found.data.params["data.columns.path"] == "auto"
    assert found.data.params["runtime.device"] == "cpu"
    # An address may hold a password.
    assert not any(name.startswith("tracking") for name in found.data.params)
    assert found.data.tags["scanlens.data_hash"] == "abc"
    assert found.data.tags[WEIGHTS_TAG] == "w1"
    assert len(found.data.tags[SETTINGS]) == 64
    assert [(m.step, m.value) for m in client.get_metric_history(run.run_id, "val_loss")] == [
        (0, 0.5),
        (1, 0.25),
    ]
    assert "val_auc" not in found.data.metrics
    assert [f.path for f in client.list_artifacts(run.run_id)] == ["card.md", "plots"]
    assert [f.path for f in client.list_artifacts(run.run_id, "plots")] == ["plots/table.csv"]
    assert (tmp_path / "mlruns").is_dir()


def test_numbers_that_are_not_finite_are_left_out(
    local: Tracking, client: MlflowClient, settings: dict[str, Any]
) -> None:
    with open_run(local, settings, TAGS) as run:
        run.log_metrics({"good": 1.0, "nan": math.nan, "up": math.inf, "down": -math.inf})
    assert client.get_run(run.run_id).data.metrics == {"good": 1.0}


def test_more_settings_than_one_call_takes(
    local: Tracking, client: MlflowClient, settings: dict[str, Any]
) -> None:
    settings["many"] = {f"key{number}": number for number in range(250)}
    settings["model"]["long"] = "x" * 7000
    with open_run(local, settings, TAGS) as run:
        pass
    params = client.get_run(run.run_id).data.params
    assert sum(name.startswith("many.") for name in params) == 250
    assert params["model.long"] == "x" * 6000


def test_later_stages_continue_the_run_of_their_weights(
    local: Tracking, client: MlflowClient, settings: dict[str, Any]
) -> None:
    with open_run(local, settings, TAGS) as first:
        first.set_tags({WEIGHTS_TAG: "w1"})
    with open_run(local, settings, TAGS, "w1") as later:
        later.log_metrics({"test.auc": 0.9})
    assert later.run_id == first.run_id
    assert client.get_run(first.run_id).data.metrics == {"test.auc": 0.9}
    # Another machine is the same run, other weights or settings are another.
    assert open_run(local, {**settings, "runtime": {"device": "cuda"}}, TAGS, "w1").run_id == first.run_id
    assert open_run(local, settings, TAGS, "w2").run_id != first.run_id
    assert open_run(local, {**settings, "seed": 1}, TAGS, "w1").run_id != first.run_id


def test_training_again_is_a_run_of_its_own(local: Tracking, settings: dict[str, Any]) -> None:
    assert open_run(local, settings, TAGS).run_id != open_run(local, settings, TAGS).run_id


def test_the_newest_run_of_the_weights_is_continued(local: Tracking, settings: dict[str, Any]) -> None:
    runs = []
    for _ in range(2):
        with open_run(local, settings, TAGS) as run:
            run.set_tags({WEIGHTS_TAG: "w1"})
        runs.append(run.run_id)
        time.sleep(0.01)
    assert open_run(local, settings, TAGS, "w1").run_id == runs[1]


def test_weights_of_an_untracked_training_start_a_run_that_is_found_again(
    local: Tracking, settings: dict[str, Any]
) -> None:
    assert open_run(local, settings, TAGS, "w9").run_id == open_run(local, settings, TAGS, "w9").run_id


def test_a_failing_block_marks_the_run_failed_and_raises(
    local: Tracking, client: MlflowClient, settings: dict[str, Any]
) -> None:
    with pytest.raises(ZeroDivisionError), open_run(local, settings, TAGS) as run:
        _ = 1 / 0
    assert client.get_run(run.run_id).info.status == "FAILED"


def use_everything(run: Run, file: Path) -> str:
    run.log_metrics({"a": 1.0})
    run.set_tags({"a": "b"})
    run.log_files(file)
    run.log_files(file.parent)
    return run.register_bundle(file.parent, file, "name", ["a", "b"])


def test_tracking_switched_off_does_nothing(
    local: Tracking, settings: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("x")
    with open_run(dataclasses.replace(local, enabled=False), settings, TAGS) as run:
        assert use_everything(run, tmp_path / "file") == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]
    assert capsys.readouterr().err == ""


def test_an_unreachable_server_is_one_warning_and_the_work_goes_on(
    local: Tracking, settings: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("x")
    start = time.perf_counter()
    with open_run(dataclasses.replace(local, uri="http://127.0.0.1:9"), settings, TAGS) as run:
        assert use_everything(run, tmp_path / "file") == ""
    assert time.perf_counter() - start < 5
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "warning: not tracked: 127.0.0.1:9 does not answer" in error


@pytest.mark.parametrize("uri", ["sqlite:////proc/nowhere/mlflow.db", "no-such-scheme://x"])
def test_a_store_that_cannot_be_opened_is_one_warning(
    local: Tracking, settings: dict[str, Any], uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_run(dataclasses.replace(local, uri=uri), settings, TAGS) as run:
        run.log_metrics({"a": 1.0})
    assert capsys.readouterr().err.count("warning: not tracked: ") == 1


def test_a_store_that_fails_on_the_way_is_one_warning(
    local: Tracking, settings: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_run(local, settings, TAGS) as run:
        run.log_files(tmp_path / "absent.html")
        run.log_metrics({"a": 1.0})
        run.set_tags({"a": "b"})
    assert capsys.readouterr().err.count("warning: tracking stopped, the work goes on") == 1


def test_a_registered_bundle_holds_no_pickle(
    local: Tracking, client: MlflowClient, settings: dict[str, Any], tiny_bundle: Path, tmp_path: Path
) -> None:
    code = Path(scanlens.inference.pyfunc.__file__)
    with open_run(local, settings, TAGS) as run:
        version = run.register_bundle(tiny_bundle, code, "tiny", ["dark", "bright"])
    assert version == "1"
    assert client.get_run(run.run_id).info.status == "FINISHED"
    assert client.get_model_version_by_alias("tiny", "latest-run").version in (1, "1")
    files = [path for path in (tmp_path / "mlruns").rglob("*") if path.is_file()]
    assert {path.name for path in tiny_bundle.iterdir()} <= {path.name for path in files}
    for path in files:
        assert path.suffix not in (".pkl", ".pickle", ".pt", ".pth", ".joblib"), path
        # Every pickle of protocol 2 and later starts so, and so does a zip that torch wrote.
        assert not path.read_bytes().startswith((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK"))


def test_data_tags(tmp_path: Path) -> None:
    write_json(tmp_path / "manifest.json", {"data_hash": "d", "split_hash": "s", "scans": 3})
    assert data_tags(tmp_path) == {"scanlens.data_hash": "d", "scanlens.split_hash": "s"}

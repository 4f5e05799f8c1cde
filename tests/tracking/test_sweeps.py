"""A sweep's runs in a real MLflow store, read back by MLflow's own client."""

from __future__ import annotations

import dataclasses
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from scanlens.atomic import write_json
from scanlens.config.schema import Tracking
from scanlens.tracking.lineage import settings_hash
from scanlens.tracking.runs import PREDICTIONS, SETTINGS
from scanlens.tracking.sweeps import SWEEP, SweepRun
from scanlens.tracking.trial import CHOICES, NUMBER, PARENT, STATE, STUDY

LOSSES = [1.0, 0.5, 0.25]


@pytest.fixture
def project(tmp_path: Path, settings: dict[str, Any]) -> Path:
    """A project copy whose stages came from the cache: settings, two members' curves, and reports."""
    folder = tmp_path / "copy"
    (folder / "data/06_models/trained").mkdir(parents=True)
    (folder / "data/07_reports").mkdir(parents=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    history = pd.DataFrame(
        {"epoch": [0, 1, 2] * 2, "val_loss": [*LOSSES, 9.0, 9.0, 9.0], "member": [0] * 3 + [1] * 3}
    )
    history.to_csv(folder / "data/06_models/trained/history.csv", index=False)
    auc = {"value": 0.75, "low": 0.5, "high": None}
    write_json(folder / "data/07_reports/metrics.json", {"test": {"auc": auc, "scans": 30, "ece": None}})
    table = pd.DataFrame({"scan_id": ["a"], "patient": ["p1"], "site": ["St Elsewhere"], "split": ["test"]})
    table.to_parquet(folder / "data/07_reports/predictions.parquet", index=False)
    return folder


def child(client: MlflowClient, parent: SweepRun, number: int) -> Run:
    """The one run of a trial."""
    experiment = client.get_experiment_by_name("tests").experiment_id
    runs = client.search_runs([experiment], f"tags.`{NUMBER}` = '{number}'")
    (found,) = [run for run in runs if run.data.tags[PARENT] == parent.run_id]
    return found


def test_the_parent_holds_the_sweeps_facts_and_goes_on_as_the_same_run(
    local: Tracking, client: MlflowClient
) -> None:
    first = SweepRun(local, "lr", "", {"sampler": "tpe", "space": {"training.lr": "1e-4..1e-1"}})
    client.set_terminated(first.run_id, "FAILED")
    again = SweepRun(local, "lr", first.run_id, {"sampler": "other"})
    assert again.run_id == first.run_id
    found = client.get_run(first.run_id)
    assert (found.info.status, found.info.run_name, found.data.tags[SWEEP]) == ("RUNNING", "sweep lr", "lr")
    assert found.data.params == {"sampler": "tpe", "space.training.lr": "1e-4..1e-1"}


@pytest.mark.parametrize(
    ("error", "status"), [(None, "FINISHED"), (KeyboardInterrupt, "KILLED"), (OSError, "FAILED")]
)
def test_the_parent_ends_as_the_sweep_did(
    local: Tracking, client: MlflowClient, error: type[BaseException] | None, status: str
) -> None:
    with suppress(KeyboardInterrupt, OSError), SweepRun(local, "lr", "", {}) as parent:
        if error is not None:
            raise error
    assert client.get_run(parent.run_id).info.status == status


def test_each_end_of_a_trial_has_mlflows_word_for_it(local: Tracking, client: MlflowClient) -> None:
    parent = SweepRun(local, "lr", "", {})
    words = {"complete": "FINISHED", "pruned": "KILLED", "interrupted": "KILLED", "failed": "FAILED"}
    for number, (state, status) in enumerate(words.items()):
        reason = "x" * 5000 if state == "failed" else ""
        parent.close_trial(number, state, {"training.lr": "0.003"}, None, reason)
        found = child(client, parent, number)
        assert (found.info.status, found.info.run_name) == (status, f"lr-{number}")
        tags = found.data.tags
        assert (tags[STATE], tags[STUDY]) == (state, "lr")
        assert json.loads(tags[CHOICES]) == {"training.lr": "0.003"}
        assert tags.get("scanlens.reason", "") == reason[:4000]


def test_a_trial_from_the_cache_has_settings_curves_metrics_and_predictions(
    local: Tracking, client: MlflowClient, project: Path, settings: dict[str, Any], tmp_path: Path
) -> None:
    parent = SweepRun(local, "lr", "", {})
    parent.close_trial(0, "complete", {}, project)
    found = child(client, parent, 0)
    assert found.data.params["model.width"] == "1.0"
    assert not any(name.startswith("tracking") for name in found.data.params)
    assert found.data.tags["scanlens.from_cache"] == "true"
    assert found.data.tags[SETTINGS] == settings_hash(settings)
    curve = client.get_metric_history(found.info.run_id, "val_loss")
    assert [(one.step, one.value) for one in curve] == list(enumerate(LOSSES)), "of the first member alone"
    others = {name: value for name, value in found.data.metrics.items() if name != "val_loss"}
    assert others == {"test.auc": 0.75, "test.auc.low": 0.5, "test.scans": 30.0}
    path = client.download_artifacts(found.info.run_id, PREDICTIONS, str(tmp_path))
    assert list(pd.read_parquet(path).columns) == ["scan_id", "patient", "split"], "a hospital stays here"


def test_closing_a_trial_again_makes_no_second_run_and_keeps_what_it_logged(
    local: Tracking, client: MlflowClient, project: Path
) -> None:
    parent = SweepRun(local, "lr", "", {})
    parent.close_trial(0, "interrupted", {}, None)
    parent.close_trial(0, "complete", {}, project)
    found = child(client, parent, 0)
    assert (found.info.status, found.data.tags[STATE]) == ("FINISHED", "complete")
    assert found.data.metrics["test.auc"] == 0.75, "its stages came from the cache after all"
    parent.close_trial(0, "complete", {}, project)
    found = child(client, parent, 0)
    assert len(client.get_metric_history(found.info.run_id, "val_loss")) == len(LOSSES)


def test_reports_that_are_not_there_are_left_out(
    local: Tracking, client: MlflowClient, settings: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    parent = SweepRun(local, "lr", "", {})
    parent.close_trial(0, "pruned", {}, tmp_path)
    found = child(client, parent, 0)
    assert (found.info.status, found.data.metrics) == ("KILLED", {})
    assert client.list_artifacts(found.info.run_id) == []


def test_a_store_that_fails_costs_a_warning_alone(
    local: Tracking, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parent = SweepRun(local, "lr", "", {})
    (tmp_path / "mlflow.db").write_bytes(b"no database" * 1000)
    parent.close_trial(0, "complete", {}, None)
    assert "warning: a trial is not tracked" in capsys.readouterr().out
    unreachable = SweepRun(dataclasses.replace(local, uri="http://127.0.0.1:9"), "lr", "", {})
    unreachable.close_trial(0, "complete", {}, None)
    said = capsys.readouterr().out
    assert unreachable.run_id == ""
    assert said.count("warning: not tracked: 127.0.0.1:9 does not answer") == said.count("warning") == 1

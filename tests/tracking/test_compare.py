"""Side by side: newest first, and only what differs."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import pytest

from scanlens.config.schema import Tracking
from scanlens.errors import ScanlensError
from scanlens.tracking.compare import as_table, compare_runs
from scanlens.tracking.runs import open_run


def track(local: Tracking, settings: dict[str, Any], auc: float) -> None:
    with open_run(local, settings, {}) as run:
        run.log_metrics({"test.auc": auc, "a": 1.0})
    time.sleep(0.01)


def test_only_differing_settings_are_shown(local: Tracking, settings: dict[str, Any]) -> None:
    track(local, settings, 0.8)
    track(local, {**settings, "seed": 1, "runtime": {"device": "cuda"}, "tracking": {"uri": "x"}}, 0.9)
    newest, oldest = compare_runs(local, 8)
    assert newest["changed"] == {"seed": "1"}
    assert oldest["changed"] == {"seed": "0"}
    assert newest["metrics"] == {"a": 1.0, "test.auc": 0.9}
    assert newest["status"] == "FINISHED"
    assert newest["started"] >= oldest["started"]
    assert [row["metrics"]["test.auc"] for row in compare_runs(local, 1)] == [0.9]


def test_a_setting_that_only_some_runs_have_differs(local: Tracking, settings: dict[str, Any]) -> None:
    track(local, settings, 0.8)
    track(local, {**settings, "new": {"key": 3}}, 0.9)
    assert [row["changed"] for row in compare_runs(local, 8)] == [{"new.key": "3"}, {"new.key": ""}]


def test_runs_of_the_same_settings_differ_in_nothing(local: Tracking, settings: dict[str, Any]) -> None:
    track(local, settings, 0.8)
    track(local, settings, 0.8)
    assert [row["changed"] for row in compare_runs(local, 8)] == [{}, {}]


def test_the_table(local: Tracking, settings: dict[str, Any]) -> None:
    track(local, settings, 0.8)
    track(local, {**settings, "seed": 12345}, 0.9)
    lines = as_table(compare_runs(local, 8), ["test.auc", "absent"]).splitlines()
    assert [line.split()[0] for line in lines] == ["cnn-phantom", "started", "seed", "test.auc", "absent"]
    assert lines[2].split()[1:] == ["12345", "0"]
    assert lines[3].split()[1:] == ["0.9000", "0.8000"]
    assert lines[4].split()[1:] == ["-", "-"]
    assert all(line == line.rstrip() for line in lines)
    # One column under the other.
    assert lines[2].index("12345") == lines[3].index("0.9000")


def test_nothing_tracked_yet(local: Tracking, settings: dict[str, Any], tmp_path: Any) -> None:
    with pytest.raises(ScanlensError, match=r"mlflow\.db does not exist yet.*dvc repro"):
        compare_runs(local, 8)
    assert not (tmp_path / "mlflow.db").exists()
    track(local, settings, 0.8)
    with pytest.raises(ScanlensError, match="no experiment elsewhere"):
        compare_runs(dataclasses.replace(local, experiment="elsewhere"), 8)


def test_an_unreachable_server_is_an_error_in_one_line(local: Tracking) -> None:
    with pytest.raises(ScanlensError, match=r"127\.0\.0\.1:9") as caught:
        compare_runs(dataclasses.replace(local, uri="http://127.0.0.1:9"), 8)
    assert "\n" not in str(caught.value)

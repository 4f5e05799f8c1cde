"""The store of a project is the project's own, wherever the project lies and whatever copy a run works in."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from scanlens.config.schema import Tracking
from scanlens.errors import ScanlensError
from scanlens.tracking.compare import RunStore
from scanlens.tracking.place import settle_store
from scanlens.tracking.runs import open_run


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("sqlite:///mlflow.db", "sqlite:///{project}/mlflow.db"),
        ("sqlite:///a/../b/mlflow.db", "sqlite:///{project}/b/mlflow.db"),
        ("sqlite:////srv/mlflow.db", "sqlite:////srv/mlflow.db"),
        ("http://server:5000", "http://server:5000"),
    ],
    ids=["relative", "dotted", "absolute", "server"],
)
def test_a_store_beside_the_project_is_found_from_any_folder(
    local: Tracking, tmp_path: Path, uri: str, expected: str
) -> None:
    found = settle_store(dataclasses.replace(local, uri=uri), tmp_path)
    assert found.uri == expected.format(project=tmp_path.resolve())
    assert dataclasses.replace(found, uri=uri) == dataclasses.replace(local, uri=uri)


@pytest.fixture
def relative(local: Tracking) -> Tracking:
    return dataclasses.replace(local, uri="sqlite:///mlflow.db")


def log_file(tracking: Tracking, settings: dict[str, Any]) -> str:
    Path("card.md").write_text("card")
    with open_run(tracking, settings, {}) as run:
        run.log_files(Path("card.md"))
    return run.run_id


def files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_copied_project_writes_among_its_own_artefacts(
    relative: Tracking,
    settings: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    original, copy = tmp_path / "original", tmp_path / "the copy"
    original.mkdir()
    monkeypatch.chdir(original)
    first = log_file(relative, settings)
    shutil.copytree(original, copy)
    before = files_below(original / "mlruns")
    monkeypatch.chdir(copy)
    capsys.readouterr()
    second = log_file(relative, settings)
    assert capsys.readouterr().out.count(f"came from {original}") == 1
    assert files_below(original / "mlruns") == before == [f"{first}/artifacts/card.md"]
    assert f"{second}/artifacts/card.md" in files_below(copy / "mlruns")
    # What was tracked before the copy is found in the copy, also when the original is gone.
    shutil.rmtree(original)
    client = MlflowClient(f"sqlite:///{copy / 'mlflow.db'}")
    assert [file.path for file in client.list_artifacts(first)] == ["card.md"]
    log_file(relative, settings)
    assert "came from" not in capsys.readouterr().out


def test_a_store_that_projects_share_keeps_its_place(
    local: Tracking, settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    run = log_file(local, settings)
    assert files_below(tmp_path / "mlruns") == [f"{run}/artifacts/card.md"]


def test_a_run_in_dvcs_copy_is_tracked_in_the_project(
    relative: Tracking, settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / ".dvc" / "tmp" / "exps" / "standalone" / "tmp0"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    run = log_file(relative, settings)
    assert not (copy / "mlflow.db").exists()
    assert files_below(tmp_path / "mlruns") == [f"{run}/artifacts/card.md"]
    monkeypatch.chdir(tmp_path)
    assert [tracked.id for tracked in RunStore(relative).newest(8)] == [run]


def test_a_deleted_experiment_is_said_with_the_way_to_restore_it(
    local: Tracking, client: MlflowClient, settings: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    with open_run(local, settings, {}):
        pass
    experiment = client.get_experiment_by_name(local.experiment)
    assert experiment is not None
    client.delete_experiment(experiment.experiment_id)
    remedy = f"mlflow experiments restore --experiment-id {experiment.experiment_id}"
    with open_run(local, settings, {}) as run:
        assert run.run_id == ""
    error = capsys.readouterr().err
    assert remedy in error
    assert error.count("\n") == 1
    with pytest.raises(ScanlensError, match=remedy):
        RunStore(local)
    client.restore_experiment(experiment.experiment_id)
    assert len(RunStore(local).newest(8)) == 1


def test_a_store_without_runs_is_no_empty_table(
    local: Tracking, client: MlflowClient, settings: dict[str, Any]
) -> None:
    with open_run(local, settings, {}) as run:
        pass
    client.delete_run(run.run_id)
    with pytest.raises(ScanlensError, match="has no run yet"):
        RunStore(local).newest(8)

"""An SQLite store of runs in ``tmp_path``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.tracking import MlflowClient

from scanlens.config.schema import Tracking
from tests.helpers.tiny import tracking

SETTINGS: dict[str, Any] = {
    "seed": 0,
    "data": {"kind": "phantom", "columns": {"path": "auto"}},
    "model": {"name": "cnn", "width": 1.0, "args": {}},
    "runtime": {"device": "cpu"},
    "tracking": {"uri": "here"},
}


@pytest.fixture
def settings() -> dict[str, Any]:
    """A few nested settings."""
    return {key: dict(value) if isinstance(value, dict) else value for key, value in SETTINGS.items()}


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Section ``tracking`` with its store and artefacts below ``tmp_path``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_EXP_NAME", raising=False)
    before = mlflow.get_tracking_uri()
    yield tracking(tmp_path)
    mlflow.set_tracking_uri(before)


@pytest.fixture
def client(local: Tracking) -> MlflowClient:
    """MLflow's own client of that store: what a person would see."""
    return MlflowClient(local.uri)

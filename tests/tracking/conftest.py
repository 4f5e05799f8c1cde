"""An SQLite store of runs in ``tmp_path``."""

from __future__ import annotations

from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from scanlens.config.schema import Tracking

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
def client(local: Tracking) -> MlflowClient:
    """MLflow's own client of that store: what a person would see."""
    return MlflowClient(local.uri)

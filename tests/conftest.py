"""Fixtures every test folder shares."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

# Before any library: it switches off what they report to their makers.
import scanlens  # noqa: F401

if TYPE_CHECKING:
    from scanlens.config.schema import Tracking

# Idle threads that spin slow every test beside other work sixfold; torch reads this on import.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if "PYTEST_XDIST_WORKER" in os.environ:
    # Test processes side by side have a core each.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

PROJECT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def project() -> Path:
    """The checkout's root."""
    return PROJECT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data kept beside the checkout; tests about data skip where it is absent."""
    folder = PROJECT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no shared/data folder beside the checkout: real data is not part of the project")
    return folder


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a tiny trained network, with ONNX; copy it before changing it."""
    from tests.helpers.tiny import write_bundle

    return write_bundle(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tracking]:
    """Section ``tracking`` with its store and artefacts below ``tmp_path``, the folder the test runs in."""
    import mlflow

    from tests.helpers.tiny import tracking

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_EXP_NAME", raising=False)
    before = mlflow.get_tracking_uri()
    yield tracking(tmp_path)
    mlflow.set_tracking_uri(before)

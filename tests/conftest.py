"""Fixtures every test folder shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Idle threads that spin slow every test beside other work sixfold; torch reads this on import.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

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

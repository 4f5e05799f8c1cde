"""Planted scans for the scores."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest

from tests.helpers.planted import Planted, plant


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    """Images with bright squares."""
    return plant(tmp_path_factory.mktemp("planted"))


@pytest.fixture(scope="session")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    """Volumes with bright cubes."""
    return plant(tmp_path_factory.mktemp("volumes"), scans=8, dims=3, soft=0.5)


@pytest.fixture(scope="session")
def quantus_library() -> ModuleType:
    """The library our scores are compared with; it still calls NumPy's old name of an integral."""
    vars(np).setdefault("trapz", np.trapezoid)
    return pytest.importorskip("quantus", reason="pip install --no-deps quantus: it pulls another OpenCV")

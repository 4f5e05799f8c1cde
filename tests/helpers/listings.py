"""Settings and tiny scans for the tests of the readers and listings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scanlens.config.schema import Data
from scanlens.privacy.pseudonym import KEY_VARIABLE
from tests.helpers.settings import data_settings


@pytest.fixture(autouse=True)
def key_file(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep every test's pseudonym key out of the user's home."""
    path = tmp_path_factory.mktemp("key") / "pseudonym.key"
    monkeypatch.setenv(KEY_VARIABLE, str(path))
    return path


@pytest.fixture
def settings() -> Callable[..., Data]:
    """Make a data section; keywords named like a column set ``data.columns``."""

    return data_settings


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """A root with six grey PNGs, three in each of the folders ``ill`` and ``well``."""
    for number in range(6):
        folder = tmp_path / "scans" / ("ill", "well")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((9, 8), 40 * number, dtype=np.uint8)).save(folder / f"{number}.png")
    return tmp_path / "scans"

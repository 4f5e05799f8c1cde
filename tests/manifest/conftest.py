"""Tiny listings with known truth."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from scanlens.config.schema import Manifest
from tests.helpers.tiny import manifest_section

SOURCE = {"kind": "table", "dims": 2, "labels": ["a", "b"]}


@pytest.fixture
def source() -> dict[str, Any]:
    """Describe a two-class set of images."""
    return dict(SOURCE)


@pytest.fixture(autouse=True)
def pseudonym_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the tests away from the user's own key."""
    monkeypatch.setenv("SCANLENS_KEY_FILE", str(tmp_path / "pseudonym.key"))


@pytest.fixture
def manifest_config() -> Callable[..., Manifest]:
    """Make the manifest section; keywords of the split and of the checks replace the defaults."""

    return manifest_section


@pytest.fixture
def listing_of(tmp_path: Path) -> Callable[..., pd.DataFrame]:
    """Write noise images of 20 patients with two scans each, of the classes a and b; return their listing."""

    def make(patients: int = 20, scans: int = 2, key: str = "") -> pd.DataFrame:
        generator = np.random.default_rng(5)
        rows = []
        for patient in range(patients):
            for scan in range(scans):
                path = f"{patient:03d}-{scan}.png"
                cv2.imwrite(str(tmp_path / path), generator.integers(0, 256, (16, 12), dtype=np.uint8))
                label = "ab"[patient % 2]
                rows.append({"path": path, "label": label, "patient": f"p{hash_of(f'{key}{patient}')}"})
        return pd.DataFrame(rows).assign(site="", split="", mask="", date="", problem="")

    return make


def hash_of(text: str) -> str:
    """Stand-in for a pseudonym: sorts in another order than the text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]

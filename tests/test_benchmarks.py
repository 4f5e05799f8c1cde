"""Benchmarks run by hand: what they import must be there."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__"))
def test_it_imports(name: str) -> None:
    assert importlib.import_module(f"benchmarks.{name}").__doc__

"""Small inputs that people really have, kept beside the checkout; skipped where they are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from scanlens.privacy.pseudonym import KEY_VARIABLE


@pytest.fixture
def case(project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], Path]:
    """The folder of a case by its number."""
    monkeypatch.setenv(KEY_VARIABLE, str(tmp_path / "key"))
    cases = project.parent / "shared" / "cases"
    if not cases.is_dir():
        pytest.skip("no ../shared/cases beside the checkout")

    def find(number: str) -> Path:
        return next(cases.glob(f"{number}-*"))

    return find

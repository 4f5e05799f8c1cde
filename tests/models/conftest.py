"""Architectures small enough to build in a moment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from scanlens.models.architecture import Architecture


@pytest.fixture
def architecture() -> Callable[..., Architecture]:
    """Make an architecture; keywords replace the defaults."""

    def make(**changes: Any) -> Architecture:
        default: dict[str, Any] = {
            "name": "cnn", "library": "scanlens", "stem": "small", "width": 0.25, "channels": 1,
            "size": (16, 12), "classes": 3, "dropout": 0.2, "head": "softmax", "pooling": "average",
            "hidden": (), "activation": "relu", "args": {},
        }  # fmt: skip
        return Architecture(**{**default, **changes})

    return make

"""Settings of the explanation stage that are quick."""

from __future__ import annotations

import dataclasses
from typing import Any

from scanlens.config.load import load_section
from scanlens.config.schema import Explanation, MapScores, Shortcuts


def explanation(**changes: Any) -> Explanation:
    """The shipped section with a few small pictures; keywords replace its values."""
    return dataclasses.replace(
        load_section(Explanation), **{"max_overlays": 5, "overlay_side": 48, **changes}
    )


def map_scores(**changes: Any) -> MapScores:
    """The shipped settings of the scores; keywords replace them."""
    return dataclasses.replace(load_section(MapScores), **changes)


def shortcuts(**changes: Any) -> Shortcuts:
    """The shipped settings of the probes; keywords replace them."""
    return dataclasses.replace(load_section(Shortcuts), **changes)

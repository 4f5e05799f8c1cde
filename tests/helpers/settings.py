"""Settings of the explanation stage that are quick."""

from __future__ import annotations

import dataclasses
from typing import Any

from scanlens.config.load import load_section
from scanlens.config.schema import Explanation


def explanation(**changes: Any) -> Explanation:
    """The shipped section with a few small pictures; keywords replace its values."""
    return dataclasses.replace(
        load_section(Explanation), **{"max_overlays": 5, "overlay_side": 48, **changes}
    )

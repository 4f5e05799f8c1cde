"""Settings that are quick, and a data section."""

from __future__ import annotations

import dataclasses
from typing import Any

from scanlens.config.load import load_section
from scanlens.config.schema import Columns, Data, Explanation, MapScores, Shortcuts


def explanation(**changes: Any) -> Explanation:
    """The shipped section with a few small pictures; keywords replace its values."""
    return dataclasses.replace(
        load_section(Explanation), **{"max_overlays": 5, "overlay_side": 48, **changes}
    )


def map_scores(**changes: Any) -> MapScores:
    """The shipped settings of the scores; keywords replace them."""
    return dataclasses.replace(load_section(Explanation).scores, **changes)


def shortcuts(**changes: Any) -> Shortcuts:
    """The shipped settings of the probes; keywords replace them."""
    return dataclasses.replace(load_section(Explanation).shortcuts, **changes)


def data_settings(kind: str, **changes: Any) -> Data:
    """A data section; keywords named like a column set ``data.columns``."""
    columns = dict.fromkeys(("patient", "split", "site", "mask", "date"), "auto") | {
        "path": "path",
        "label": "label",
    }
    columns |= {name: changes.pop(name) for name in list(changes) if name in columns}
    values = {"root": "", "table": None, "task": "auto", "dims": 2, "labels": None, "phantom": None}
    return Data(kind=kind, columns=Columns(**columns), **(values | changes))  # type: ignore[arg-type]

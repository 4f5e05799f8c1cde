"""The shipped settings, and those of the explanation stage that are quick."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import yaml

from scanlens.config.load import load_section
from scanlens.config.schema import Columns, Data, Explanation, MapScores, Shortcuts

MODELS = Path(__file__).resolve().parents[2] / "conf" / "model"
NETWORKS = sorted(path.stem for path in MODELS.glob("*.yaml") if path.stem != "base")
"""Choices of group ``model``."""


def model_section(name: str) -> dict[str, Any]:
    """A choice of group ``model`` as Hydra composes it: its file over ``base.yaml``."""
    files = [yaml.safe_load((MODELS / f"{part}.yaml").read_text(encoding="utf-8")) for part in ("base", name)]
    return {key: value for file in files for key, value in file.items() if key != "defaults"}


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


def data_settings(kind: str, **changes: Any) -> Data:
    """A data section; keywords named like a column set ``data.columns``."""
    columns = dict.fromkeys(("patient", "split", "site", "mask", "date"), "auto") | {
        "path": "path",
        "label": "label",
    }
    columns |= {name: changes.pop(name) for name in list(changes) if name in columns}
    values = {
        "root": "given by the test",
        "table": "labels.csv" if kind == "table" else None,
        "task": "auto",
        "dims": 2,
        "labels": None,
        "positive": None,
        "phantom": None,
    }
    return Data(kind=kind, columns=Columns(**columns), **(values | changes))  # type: ignore[arg-type]

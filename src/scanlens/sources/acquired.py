"""What stage acquire left in its folder, read by the stages after it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

LISTING = "listing.parquet"
SOURCE = "source.json"
METADATA = "metadata.parquet"
HERE = "."
"""Root of a data set whose scans lie in the stage's own folder, wherever that is moved."""


def read_source(folder: Path) -> tuple[Path, dict[str, Any]]:
    """The data root and the description of the data set in ``folder``."""
    source: dict[str, Any] = json.loads((folder / SOURCE).read_text(encoding="utf-8"))
    root = folder if source["root"] == HERE else Path(source["root"]).expanduser()
    return root, source


def read_metadata(folder: Path) -> pd.DataFrame | None:
    """What else the label table says, by :mod:`scanlens.sources.listing.metadata`, in the listing's order."""
    path = folder / METADATA
    return pd.read_parquet(path) if path.is_file() else None

"""What ``scanlens predict`` and ``scanlens explain`` have written, told by its name and by its first line.

It is never a scan, wherever it lies, and it is all that a later run may replace or remove.
"""

from __future__ import annotations

import re
from pathlib import Path

MAPS = "maps"
PREDICTIONS = "predictions.csv"
FAILURES = "failures.csv"
FACTS = "explanation.json"

_MAP = re.compile(r"\d{6,}-[0-9a-f]{16}(-[0-9a-f]{16})?\.(npy|png)")
"""A map's number, its scan's id and its bundle's."""
_VIEW = re.compile(r"([0-9a-f]{16}-[a-z_]+|filters)\.(npy|png)")
_BEGINS = {
    PREDICTIONS: re.compile(r"path,scan_id,.*,map,bundle\n"),
    FAILURES: re.compile(r"path,reason\n"),
    FACTS: re.compile(r'\{\n  "bundle": "'),
}
_HEAD = 1 << 16


def is_map(name: str) -> bool:
    """Whether a file below :data:`MAPS` has a name that only predictions give."""
    return _MAP.fullmatch(name) is not None


def is_view(name: str) -> bool:
    """Whether a file beside :data:`FACTS` has a name that explanations give."""
    return _VIEW.fullmatch(name) is not None


def is_record(path: Path) -> bool:
    """Whether a file is one of our tables or :data:`FACTS`, by its name and how it begins."""
    begins = _BEGINS.get(path.name)
    try:
        if begins is None or not path.is_file():
            return False
        with path.open(encoding="utf-8", errors="replace") as file:
            return begins.match(file.read(_HEAD)) is not None
    except OSError:
        return False


def is_written(entry: Path) -> bool:
    """Whether ``scanlens predict`` or ``scanlens explain`` wrote a file, or filled a folder with maps."""
    if entry.name == MAPS:
        return holds_maps(entry)
    if is_map(entry.name):
        return entry.parent.name == MAPS
    if is_view(entry.name):
        return is_record(entry.parent / FACTS)
    return is_record(entry)


def holds_maps(folder: Path) -> bool:
    """Whether predictions have filled a folder with maps."""
    try:
        return any(is_map(path.name) for path in folder.iterdir())
    except OSError:
        return False

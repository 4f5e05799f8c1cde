"""Scans of which little is left after preprocessing: black, white or flat for the network."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from scanlens.atomic import replacing
from scanlens.preprocess.slices import middle
from scanlens.preprocess.store import Store
from scanlens.types import ImageArray, IntArray

LEAST_RANGE = 0.05
"""Part of [0, 1] that a scan's values should cover."""
MOST_AT_ENDS = 0.98
"""Share of a scan's values that may be 0 or 1."""
PICTURE = "faint.png"
_TILE, _ACROSS, _SHOWN = 96, 8, 48


def faint_scans(store: Store) -> IntArray:
    """Rows whose values cover less than :data:`LEAST_RANGE`, or are nearly all at the ends.

    Args:
        store: Of any shape.

    Returns:
        Row numbers, ascending.
    """
    return np.array([row for row in range(len(store)) if _is_faint(store.read([row])[0])], np.int64)


def _is_faint(image: ImageArray) -> bool:
    """Whether a scan in [0, 1] tells the network next to nothing.

    >>> ramp = np.linspace(0, 1, 100, dtype=np.float32).reshape(1, 10, 10)
    >>> _is_faint(ramp), _is_faint(ramp / 100), _is_faint((ramp > 0.5).astype(np.float32))
    (False, True, True)
    """
    at_ends = np.count_nonzero(image <= 0) + np.count_nonzero(image >= 1)
    return bool(np.ptp(image) < LEAST_RANGE or at_ends > MOST_AT_ENDS * image.size)


def warn_of_faint(store: Store, folder: Path) -> list[str]:
    """A sentence where there are such scans, and their picture in ``folder``; nothing where there are none.

    Args:
        store: The preprocessed scans.
        folder: Receives :data:`PICTURE`, the first of them in rows of eight, as the network sees them.
    """
    rows = faint_scans(store)
    if not len(rows):
        return []
    tiles = [_tile(store.read([row])[0]) for row in rows[:_SHOWN]]
    tiles += [np.zeros((_TILE, _TILE), np.uint8)] * (-len(tiles) % _ACROSS)
    lines = [np.hstack(tiles[first : first + _ACROSS]) for first in range(0, len(tiles), _ACROSS)]
    with replacing(folder / PICTURE) as temporary:
        temporary.write_bytes(cv2.imencode(".png", np.vstack(lines))[1].tobytes())
    first = store.index["scan_id"].iloc[rows[0]]
    return [
        f"{len(rows)} of {len(store)} scans use under {100 * LEAST_RANGE:g} % of the range or sit at its "
        f"ends, the first {first}: see {PICTURE} beside the store. preprocess.intensity "
        "and preprocess.windows decide."
    ]


def _tile(image: ImageArray) -> np.ndarray:
    """The first channel of a scan, of a volume the middle slice, with a dark rim."""
    picture = image[0] if image.ndim == 3 else image[0][middle(image.shape[1])]
    inner = cv2.resize(picture, (_TILE - 4, _TILE - 4), interpolation=cv2.INTER_AREA)
    return np.pad(np.round(255 * inner).astype(np.uint8), 2, constant_values=96)

"""Does the network see anything? Scans that use hardly any of the range [0, 1] are told, with a picture."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from scanlens.preprocess.store import Store
from scanlens.types import ImageArray

PICTURE = "range.png"
"""In the store's folder; there only where something is to be told."""
_BINS = 256
_TRIM = 5e-3
"""Share of the values at either end of the used range that may be a marker or a broken detector element."""
LEAST_USED = 0.05
"""Of the range."""
MOST_WHITE, MOST_BLACK = 0.5, 0.995
"""Share of a scan's values. Black is common: air, padding, the surroundings of a fan or an organ."""
_SHOWN, _TILE, _COLUMNS = 16, 128, 4
_REMEDY = (
    f"Look at {PICTURE} beside the preprocessed scans, then try preprocess.intensity=percentile, "
    "or set preprocess.windows."
)


def range_warnings(store: Store) -> list[str]:
    """Look at every row, and draw the first ones that are told.

    Args:
        store: The preprocessed scans; :data:`PICTURE` goes into its folder.

    Returns:
        A sentence for scans that use less than :data:`LEAST_USED` of the range, and one for those of which
        most lies at an end of it.
    """
    narrow, at_ends = [], []
    for row in range(len(store)):
        counts = _counts(store.read([row])[0])
        cumulative = np.cumsum(counts) / counts.sum()
        first, last = np.searchsorted(cumulative, [_TRIM, 1 - _TRIM])
        if (last - first) / _BINS < LEAST_USED:
            narrow.append(row)
        elif counts[-1] > MOST_WHITE * counts.sum() or counts[0] > MOST_BLACK * counts.sum():
            at_ends.append(row)
    kinds = [
        (narrow, f"use less than {LEAST_USED:.0%} of the range from black to white"),
        (at_ends, "are black or white for the most part, as their values lie outside the limits"),
    ]
    found = [
        f"{len(rows)} of {len(store)} scans {what}, e.g. {store.index['path'].iloc[rows[0]]}: "
        "a network learns little from them. " + _REMEDY
        for rows, what in kinds
        if rows
    ]
    if found:
        _draw(store, [*narrow[: _SHOWN // 2], *at_ends][:_SHOWN])
    return found


def _counts(image: ImageArray) -> npt.NDArray[np.int64]:
    levels = (image * (_BINS - 1) + 0.5).astype(np.uint8).reshape(1, -1)
    return cv2.calcHist([levels], [0], None, [_BINS], [0, _BINS]).ravel().astype(np.int64)


def _draw(store: Store, rows: Sequence[int]) -> None:
    """Write the rows side by side: the first channel, of a volume its middle slice."""
    height = -(-len(rows) // _COLUMNS) * _TILE
    sheet = np.full((height, _COLUMNS * _TILE), 128, np.uint8)
    for place, row in enumerate(rows):
        plane = store.read([row])[0, 0]
        plane = plane if plane.ndim == 2 else plane[len(plane) // 2]
        scale = (_TILE - 2) / max(plane.shape)
        sides = [max(round(side * scale), 1) for side in plane.shape]
        tile = cv2.resize(plane, (sides[1], sides[0]), interpolation=cv2.INTER_AREA)
        top, left = place // _COLUMNS * _TILE, place % _COLUMNS * _TILE
        sheet[top : top + sides[0], left : left + sides[1]] = np.rint(tile * 255)
    (store.folder / PICTURE).write_bytes(cv2.imencode(".png", sheet)[1].tobytes())

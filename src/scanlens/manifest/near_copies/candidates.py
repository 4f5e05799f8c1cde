"""Which scans may be near copies of each other: an index over descriptors, never all pairs.

Every scan's windows ask an inverted-file index (faiss) for the scans whose whole picture looks like that
window, mirrored in any way or negative: absolute values of frequencies do not see that. The scans that
answer are ranked by descriptors that do, and the nearest few go on to
:mod:`scanlens.manifest.near_copies.confirm`.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from scanlens.manifest.near_copies.descriptors import (
    LAYS,
    LENGTH,
    WINDOWS,
    Floats,
    Whitening,
    equalised_all,
    learn_whitening,
    of_lays,
    of_windows,
)

if TYPE_CHECKING:
    import faiss

NEAREST = 5
"""Candidates kept a scan. Groups of more copies still hang together: each is near to some of the others."""
BLOCK = 64
"""Scans searched at a time."""
FARTHEST = 20.0
"""Largest distance of a candidate, in standard deviations of within-copy noise. Measured on radiographs: 99 %
of crops to 80 % lie within 12, of crops to 75 % and turns by 3 degrees within 16."""

_CELL = 256
_CELLS_ASKED = 6
_ANSWERS = 8
_RANKED = 128
_BATCH = 4096
_LEARN_FROM = 400
_SEED = 0


@dataclass(frozen=True)
class Candidate:
    """A scan whose window looks like another scan.

    Attributes:
        scan: Number of the scan that the window is of.
        copy: Number of the scan that looks like it.
        window: Index into :data:`scanlens.manifest.near_copies.descriptors.WINDOWS`.
        lay: Index into :data:`scanlens.manifest.near_copies.descriptors.LAYS`: how ``copy`` has to be laid to
            look like the window.
        negative: Whether it looks like the window's negative.
        distance: Between their whitened descriptors.
    """

    scan: int
    copy: int
    window: int
    lay: int
    negative: bool
    distance: float


def find_candidates(
    thumbnails: npt.NDArray[np.uint8], order: npt.NDArray[np.int64], workers: int = 1
) -> Iterator[list[Candidate]]:
    """Find the scans that look most like each scan, or like a part of it.

    Args:
        thumbnails: ``(row, SIDE, SIDE)``.
        order: Rows searched. Scans are numbered by their place here; where it depends on the content of the
            thumbnails alone, so does the result.
        workers: Threads. They change the speed alone.

    Yields:
        The candidates of each block of :data:`BLOCK` scans; every pair once or twice (once a direction).
    """
    whitening = learn_whitening(equalised_all(thumbnails[order[:_LEARN_FROM]]), _SEED)
    index, laid = _build_index(thumbnails, order, whitening)

    def search(start: int) -> list[Candidate]:
        windows = of_windows(equalised_all(thumbnails[order[start : start + BLOCK]]))
        asked = (np.abs(windows) @ whitening.absolute).reshape(-1, LENGTH)
        distances, answers = index.search(asked, _ANSWERS)
        signed = windows @ whitening.signed
        found: list[Candidate] = []
        for place in range(len(windows)):
            rows = slice(place * len(WINDOWS), (place + 1) * len(WINDOWS))
            others = _nearest(distances[rows].ravel(), answers[rows].ravel() // 2, start + place)
            found += _ranked(start + place, signed[place], others, laid)
        return found

    with ThreadPoolExecutor(workers, initializer=_one_thread) as pool:
        yield from pool.map(search, range(0, len(order), BLOCK))


def _one_thread() -> None:
    import faiss

    faiss.omp_set_num_threads(1)


def _build_index(
    thumbnails: npt.NDArray[np.uint8], order: npt.NDArray[np.int64], whitening: Whitening
) -> tuple[faiss.IndexIVFFlat, Floats]:
    """Describe every whole picture.

    Returns:
        The index, which holds two rows a scan, as it lies and turned, both blind to mirroring; and
        ``(scan, lay, LENGTH)``, not blind.
    """
    import faiss

    rows = np.empty((len(order), 2, LENGTH), np.float32)
    laid = np.empty((len(order), len(LAYS), LENGTH), np.float32)
    for start in range(0, len(order), _BATCH):
        part = slice(start, start + _BATCH)
        described = of_lays(equalised_all(thumbnails[order[part]]))
        laid[part] = described @ whitening.signed
        rows[part] = np.abs(described[:, [0, len(LAYS) // 2]]) @ whitening.absolute
    cells = max(1, 2 * len(order) // _CELL)
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(LENGTH), LENGTH, cells)
    index.cp.seed, index.cp.niter = _SEED + 1, 8
    index.cp.min_points_per_centroid, index.cp.max_points_per_centroid = 1, 64
    threads = faiss.omp_get_max_threads()
    # One thread: sums of several would depend on their number, and the cells on the sums.
    faiss.omp_set_num_threads(1)
    try:
        index.train(rows.reshape(-1, LENGTH))
        index.add(rows.reshape(-1, LENGTH))
    finally:
        faiss.omp_set_num_threads(threads)
    index.nprobe = min(cells, _CELLS_ASKED)
    return index, laid


def _nearest(
    distances: npt.NDArray[np.float32], scans: npt.NDArray[np.int64], itself: int
) -> npt.NDArray[np.int64]:
    """The scans that answered, nearest first, each once, without the one that asked."""
    order = np.lexsort((scans, distances))
    scans = scans[order]
    scans = scans[(scans >= 0) & (scans != itself)]
    _, first = np.unique(scans, return_index=True)
    return scans[np.sort(first)[:_RANKED]]


def _ranked(scan: int, windows: Floats, others: npt.NDArray[np.int64], laid: Floats) -> list[Candidate]:
    """The nearest of the scans that answered, with the window and the orientation that fit best."""
    if not len(others):
        return []
    theirs = laid[others].reshape(-1, LENGTH)
    product = windows @ theirs.T
    # A negative has the descriptor's opposite: the nearer of the two is told by the product's sign.
    squared = (windows * windows).sum(1)[:, None] + (theirs * theirs).sum(1) - 2 * np.abs(product)
    shape = len(WINDOWS), len(others), len(LAYS)
    by_scan = squared.reshape(shape).transpose(1, 0, 2).reshape(len(others), -1)
    best = by_scan.argmin(axis=1)
    each = np.arange(len(others))
    distance = np.sqrt(np.maximum(by_scan[each, best], 0))
    window, lay = np.divmod(best, len(LAYS))
    negative = product.reshape(shape)[window, each, lay] < 0
    return [
        Candidate(scan, int(others[i]), int(window[i]), int(lay[i]), bool(negative[i]), float(distance[i]))
        for i in np.lexsort((others, distance))[:NEAREST]
        if distance[i] <= FARTHEST
    ]

"""Which scans may be near copies of each other: an index over descriptors, never all pairs.

Every scan's windows ask an inverted-file index (faiss) for the scans whose whole picture looks like that
window, mirrored in any way or negative: absolute values of frequencies do not see that. The scans that answer are
ranked by descriptors that do, and the nearest few go on to :mod:`scanlens.manifest.confirm`.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from scanlens.manifest.descriptors import (
    LENGTH,
    ORIENTATIONS,
    WINDOWS,
    Floats,
    learn_whitening,
    of_orientations,
    of_windows,
)

if TYPE_CHECKING:
    import faiss

NEAREST = 5
"""Candidates kept a scan. Groups of more copies still hang together: each is near to some of the others."""
FARTHEST = 20.0
"""Largest distance of a candidate, in standard deviations of within-copy noise. Measured on radiographs: 99 %
of crops to 80 % lie within 12, of crops to 75 % and turns by 3 degrees within 16."""

_CELL = 256
_CELLS_ASKED = 6
_ANSWERS = 8
_RANKED = 128
_CHUNK = 64
_BLOCK = 4096
_LEARN_FROM = 400
_SEED = 0


@dataclass(frozen=True)
class Candidate:
    """A scan whose window looks like another scan.

    Attributes:
        scan: Number of the scan that the window is of.
        copy: Number of the scan that looks like it.
        window: Index into :data:`scanlens.manifest.descriptors.WINDOWS`.
        orientation: Index into :data:`scanlens.manifest.descriptors.ORIENTATIONS`: how ``copy`` has to be
            laid to look like the window.
        distance: Between their whitened descriptors.
    """

    scan: int
    copy: int
    window: int
    orientation: int
    distance: float


def find_candidates(images: Floats, workers: int = 1) -> Iterator[list[Candidate]]:
    """Find the scans that look most like each scan, or like a part of it.

    Args:
        images: ``(scan, SIDE, SIDE)``, equalised; in an order that depends on their content alone, so that
            the result does too.
        workers: Threads. They change the speed alone.

    Yields:
        For each block of scans the candidates of its scans; every pair once or twice (once a direction).
    """
    whitening = learn_whitening(images[:_LEARN_FROM], _SEED)
    index, laid = _build_index(images, whitening.absolute), _laid(images, whitening.signed)

    def search(start: int) -> list[Candidate]:
        windows = of_windows(images[start : start + _CHUNK])
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
        yield from pool.map(search, range(0, len(images), _CHUNK))


def _one_thread() -> None:
    import faiss

    faiss.omp_set_num_threads(1)


def _build_index(images: Floats, whitening: Floats) -> faiss.IndexIVFFlat:
    """Index two rows a scan: as it lies and turned, both blind to mirroring."""
    import faiss

    rows = np.empty((2 * len(images), LENGTH), np.float32)
    for start in range(0, len(images), _BLOCK):
        both = np.abs(of_orientations(images[start : start + _BLOCK])[:, [0, len(ORIENTATIONS) // 2]])
        rows[2 * start : 2 * (start + _BLOCK)] = (both @ whitening).reshape(-1, LENGTH)
    cells = max(1, len(rows) // _CELL)
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(LENGTH), LENGTH, cells)
    index.cp.seed, index.cp.niter, index.cp.max_points_per_centroid = _SEED + 1, 8, 64
    threads = faiss.omp_get_max_threads()
    # One thread: sums of several would depend on their number, and the cells on the sums.
    faiss.omp_set_num_threads(1)
    try:
        index.train(rows)
        index.add(rows)
    finally:
        faiss.omp_set_num_threads(threads)
    index.nprobe = min(cells, _CELLS_ASKED)
    return index


def _laid(images: Floats, whitening: Floats) -> Floats:
    """``(scan, orientation, LENGTH)``, whitened."""
    laid = np.empty((len(images), len(ORIENTATIONS), LENGTH), np.float32)
    for start in range(0, len(images), _BLOCK):
        laid[start : start + _BLOCK] = of_orientations(images[start : start + _BLOCK]) @ whitening
    return laid


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
    squared = (
        (windows * windows).sum(1)[:, None] + (theirs * theirs).sum(1)[None] - 2 * (windows @ theirs.T)
    ).reshape(len(WINDOWS), len(others), len(ORIENTATIONS))
    per_scan = squared.transpose(1, 0, 2).reshape(len(others), -1)
    best = per_scan.argmin(axis=1)
    distance = np.sqrt(np.maximum(per_scan[np.arange(len(others)), best], 0))
    window, orientation = np.divmod(best, len(ORIENTATIONS))
    return [
        Candidate(scan, int(others[i]), int(window[i]), int(orientation[i]), float(distance[i]))
        for i in np.lexsort((others, distance))[:NEAREST]
        if distance[i] <= FARTHEST
    ]

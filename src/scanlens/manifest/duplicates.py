"""Near copies among scans: flipped, turned, cropped, re-encoded, resized or re-exposed.

Three steps: pictures of equal thumbnails are taken as one; an index proposes candidates
(:mod:`scanlens.manifest.candidates`); each is aligned and compared (:mod:`scanlens.manifest.confirm`), first
at 32 pixels, which rules most out, then at 64, and where that cannot decide once more at 128 from the
originals. Nothing depends on the order of the scans or on the number of threads.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from scanlens.errors import UnreadableScan
from scanlens.manifest.candidates import Candidate, find_candidates
from scanlens.manifest.confirm import agreement, align, enlarged, start_of
from scanlens.manifest.descriptors import Floats, equalised, equalised_all, oriented
from scanlens.manifest.thumbnails import SIDE, thumbnail
from scanlens.scaling.cores import available_cores
from scanlens.types import FloatArray

LARGE = 128
"""Side at which originals are compared where thumbnails cannot decide."""
UNDECIDED = (0.12, 0.02)
"""So much below and above the minimum a correlation of thumbnails is no verdict."""
_GATE = 0.25
"""So much below the minimum a correlation at 32 pixels rules a pair out."""
_EMPTY = 0.04
"""Thumbnails with a smaller part than this off their commonest grey show nothing to compare."""
_KEPT = 256
"""Originals kept in memory at once."""

Reread = Callable[[int], FloatArray]


@dataclass(frozen=True)
class Pair:
    """Two near copies.

    Attributes:
        first: Row number of the one.
        second: Row number of the other, larger than ``first``.
        correlation: Of their aligned, band-passed pixels; 1 where their thumbnails are equal.
    """

    first: int
    second: int
    correlation: float


def near_copies(
    thumbnails: npt.NDArray[np.uint8],
    *,
    minimum: float,
    reread: Reread | None = None,
    progress: bool = False,
) -> list[Pair]:
    """Find near copies.

    Scans of equal thumbnails are each linked to the first of them. A scan with many near copies is linked
    to the nearest few; together the links hold the whole group.

    Args:
        thumbnails: uint8, ``(row, SIDE, SIDE)``; empty ones (all of one grey, or nearly) match nothing.
        minimum: Correlation from which two scans are near copies, e.g. 0.95.
        reread: Gives the picture of a row again, float32, ``(height, width)``, as large as it is; asked
            where thumbnails do not decide. May raise UnreadableScan: the thumbnails then have to do.
        progress: Whether to show progress bars.

    Returns:
        Pairs in the order of their rows.
    """
    groups = _groups(thumbnails)
    pairs = [Pair(rows[0], row, 1.0) for rows in groups for row in rows[1:]]
    firsts = [rows[0] for rows in groups]
    if len(firsts) > 1:
        threads = cv2.getNumThreads()
        cv2.setNumThreads(1)
        try:
            with threadpool_limits(1, "blas"):
                pairs += _among(thumbnails, firsts, minimum, reread, progress)
        finally:
            cv2.setNumThreads(threads)
    return sorted(pairs, key=lambda pair: (pair.first, pair.second))


def _groups(thumbnails: npt.NDArray[np.uint8]) -> list[list[int]]:
    """Rows of equal thumbnails, in an order that depends on the thumbnails alone; empty ones left out."""
    rows: defaultdict[bytes, list[int]] = defaultdict(list)
    for row, image in enumerate(thumbnails):
        if np.bincount(image.ravel()).max() <= (1 - _EMPTY) * image.size:
            rows[hashlib.blake2b(image.tobytes(), digest_size=16).digest()].append(row)
    return [rows[digest] for digest in sorted(rows)]


def _among(
    thumbnails: npt.NDArray[np.uint8],
    firsts: list[int],
    minimum: float,
    reread: Reread | None,
    progress: bool,
) -> list[Pair]:
    """Near copies among scans of different thumbnails."""
    workers = available_cores()
    images = equalised_all(thumbnails[firsts])
    small = np.stack([_halved(image) for image in images])

    def compare(candidates: list[Candidate]) -> list[tuple[Candidate, float, npt.NDArray[np.float32]]]:
        compared = []
        for candidate in candidates:
            verdict = _compare(candidate, images, small, minimum)
            if verdict is not None:
                compared.append((candidate, *verdict))
        return compared

    blocks = tqdm(
        find_candidates(images, workers),
        total=-(-len(images) // 64),
        desc="near copies",
        unit="block",
        disable=not progress,
    )
    best: dict[tuple[int, int], Candidate] = {}
    for candidate in (candidate for block in blocks for candidate in block):
        key = (min(candidate.scan, candidate.copy), max(candidate.scan, candidate.copy))
        if key not in best or candidate.distance < best[key].distance:
            best[key] = candidate
    ordered = [best[key] for key in sorted(best)]
    chunks = [ordered[start : start + 256] for start in range(0, len(ordered), 256)]
    pairs = []
    original = lru_cache(_KEPT)(lambda row: _original(reread, row) if reread else None)
    with ThreadPoolExecutor(workers) as pool:
        results: Iterable[list[tuple[Candidate, float, npt.NDArray[np.float32]]]] = pool.map(compare, chunks)
        for chunk in tqdm(results, total=len(chunks), desc="alignment", unit="block", disable=not progress):
            for candidate, correlation, warp in chunk:
                rows = firsts[candidate.scan], firsts[candidate.copy]
                if correlation < minimum + UNDECIDED[1]:
                    correlation = _again(original, rows, candidate, warp, correlation)
                if correlation >= minimum:
                    pairs.append(Pair(min(rows), max(rows), min(correlation, 1.0)))
    return pairs


def _halved(image: Floats) -> Floats:
    return np.asarray(cv2.resize(image, (SIDE // 2, SIDE // 2), interpolation=cv2.INTER_AREA))


def _compare(
    candidate: Candidate, images: Floats, small: Floats, minimum: float
) -> tuple[float, npt.NDArray[np.float32]] | None:
    """Correlation and map at 64 pixels, or None for a pair that is ruled out."""
    copy = oriented(small[candidate.copy], candidate.orientation)
    warp = align(
        small[candidate.scan], copy, start_of(candidate, SIDE // 2), iterations=15, smoothing=3
    )
    if warp is None or agreement(small[candidate.scan], copy, warp) < minimum - _GATE:
        return None
    copy = oriented(images[candidate.copy], candidate.orientation)
    warp = align(images[candidate.scan], copy, enlarged(warp, 2), iterations=30, smoothing=5)
    if warp is None:
        return None
    correlation = agreement(images[candidate.scan], copy, warp)
    return None if correlation < minimum - UNDECIDED[0] else (correlation, warp)


def _original(reread: Reread, row: int) -> Floats | None:
    try:
        image = reread(row)
    except UnreadableScan:
        return None
    return equalised(thumbnail(image[None], LARGE))


def _again(
    original: Callable[[int], Floats | None],
    rows: tuple[int, int],
    candidate: Candidate,
    warp: npt.NDArray[np.float32],
    correlation: float,
) -> float:
    """Correlation at :data:`LARGE`, or the one of the thumbnails where an original cannot be had."""
    scan, copy = original(rows[0]), original(rows[1])
    if scan is None or copy is None:
        return correlation
    copy = oriented(copy, candidate.orientation)
    refined = align(scan, copy, enlarged(warp, LARGE / SIDE), iterations=30, smoothing=5)
    return 0.0 if refined is None else agreement(scan, copy, refined)

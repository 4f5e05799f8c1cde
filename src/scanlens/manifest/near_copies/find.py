"""Near copies among scans: flipped, turned, cropped, re-encoded, resized or re-exposed.

Three steps: pictures of equal thumbnails are taken as one; an index proposes candidates
(:mod:`scanlens.manifest.near_copies.candidates`); each is aligned and compared
(:mod:`scanlens.manifest.near_copies.confirm`), first at 32 pixels, which rules most out, then at 64, and
where that cannot decide once more at 128 from the originals. Nothing depends on the
order of the scans or on the number of threads.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock

import cv2
import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from scanlens.errors import UnreadableScan
from scanlens.manifest.near_copies.candidates import BLOCK, Candidate, find_candidates
from scanlens.manifest.near_copies.confirm import Warp, agreement, align, enlarged, start_of
from scanlens.manifest.near_copies.descriptors import Floats, equalised, laid
from scanlens.manifest.near_copies.thumbnails import SIDE, thumbnail
from scanlens.scaling.cores import available_cores
from scanlens.scaling.opencv import one_thread
from scanlens.types import FloatArray

_LARGE = 128
"""Side at which originals are compared where thumbnails cannot decide."""
_UNDECIDED = (0.12, 0.02)
"""So much below and above the minimum a correlation of thumbnails is no verdict."""
_GATE = 0.25
"""So much below the minimum a correlation at 32 pixels rules a pair out."""
_EMPTY = 0.04
"""Thumbnails with a smaller part than this off their commonest grey show nothing to compare."""
_KEPT = 1024
"""Originals kept in memory at once, 64 KiB each."""

_Reread = Callable[[int], FloatArray]


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


@dataclass(frozen=True)
class _Compared:
    """A candidate that thumbnails do not rule out, with their correlation and the map from copy to scan."""

    candidate: Candidate
    correlation: float
    warp: Warp


def near_copies(
    thumbnails: npt.NDArray[np.uint8],
    *,
    minimum: float,
    rows: Sequence[int] | None = None,
    reread: _Reread | None = None,
    progress: bool = False,
) -> list[Pair]:
    """Find near copies.

    Scans of equal thumbnails are each linked to the first of them. A scan with many near copies is linked
    to the nearest few; together the links hold the whole group.

    Args:
        thumbnails: uint8, ``(row, SIDE, SIDE)``; empty ones (all of one grey, or nearly) match nothing.
        minimum: Correlation from which two scans are near copies, e.g. 0.95.
        rows: Rows to look among, ascending; None for all. The others' thumbnails are not touched.
        reread: Gives the picture of a row again, float32, ``(height, width)``, as large as it is; asked
            where thumbnails do not decide. May raise UnreadableScan: the thumbnails then have to do.
        progress: Whether to show progress bars.

    Returns:
        Pairs in the order of their rows.

    Example:
        >>> first = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE), np.uint8)
        >>> second = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE), np.uint8)
        >>> near_copies(np.stack([first, second, first]), minimum=0.95)
        [Pair(first=0, second=2, correlation=1.0)]
    """
    groups = _groups(thumbnails, range(len(thumbnails)) if rows is None else rows)
    pairs = [Pair(group[0], row, 1.0) for group in groups for row in group[1:]]
    firsts = [group[0] for group in groups]
    if len(firsts) > 1:
        with one_thread(), threadpool_limits(1, "blas"):
            pairs += _among(thumbnails, firsts, minimum, reread, progress)
    return sorted(pairs, key=lambda pair: (pair.first, pair.second))


def _groups(thumbnails: npt.NDArray[np.uint8], among: Sequence[int]) -> list[list[int]]:
    """Rows of equal thumbnails, in an order that depends on the thumbnails alone; empty ones left out."""
    rows: defaultdict[bytes, list[int]] = defaultdict(list)
    for row in among:
        image = thumbnails[row]
        if np.bincount(image.ravel()).max() <= (1 - _EMPTY) * image.size:
            rows[hashlib.blake2b(image.tobytes(), digest_size=16).digest()].append(row)
    return [rows[digest] for digest in sorted(rows)]


def _among(
    thumbnails: npt.NDArray[np.uint8],
    firsts: list[int],
    minimum: float,
    reread: _Reread | None,
    progress: bool,
) -> list[Pair]:
    """Near copies among scans of different thumbnails."""
    workers = available_cores()
    order = np.array(firsts)
    candidates = _proposed(thumbnails, order, workers, progress)
    blocks = [candidates[start : start + BLOCK] for start in range(0, len(candidates), BLOCK)]

    reading = Lock()

    @lru_cache(_KEPT)
    def kept(row: int) -> Floats | None:
        return _original(reread, row) if reread else None

    def original(row: int) -> Floats | None:
        # One at a time: readers hold archives open, which threads can't share.
        with reading:
            return kept(row)

    def compare(block: list[Candidate]) -> list[Pair]:
        pairs = []
        for candidate in block:
            compared = _compare(candidate, thumbnails, order, minimum)
            if compared is None:
                continue
            rows, correlation = (firsts[candidate.scan], firsts[candidate.copy]), compared.correlation
            if correlation < minimum + _UNDECIDED[1]:
                correlation = _again(original, rows, compared)
            if correlation >= minimum:
                pairs.append(Pair(min(rows), max(rows), min(correlation, 1.0)))
        return pairs

    with ThreadPoolExecutor(workers) as pool:
        results = tqdm(
            pool.map(compare, blocks), total=len(blocks), desc="aligning", unit="block", disable=not progress
        )
        return [pair for block in results for pair in block]


def _proposed(
    thumbnails: npt.NDArray[np.uint8], order: npt.NDArray[np.int64], workers: int, progress: bool
) -> list[Candidate]:
    """Every pair once, in the direction that fits better."""
    best: dict[tuple[int, int], Candidate] = {}
    blocks = tqdm(
        find_candidates(thumbnails, order, workers),
        total=-(-len(order) // BLOCK),
        desc="near copies",
        unit="block",
        disable=not progress,
    )
    for candidate in (candidate for block in blocks for candidate in block):
        pair = min(candidate.scan, candidate.copy), max(candidate.scan, candidate.copy)
        if pair not in best or candidate.distance < best[pair].distance:
            best[pair] = candidate
    return [best[pair] for pair in sorted(best)]


def _halved(image: Floats) -> Floats:
    return np.asarray(cv2.resize(image, (SIDE // 2, SIDE // 2), interpolation=cv2.INTER_AREA))


def _compare(
    candidate: Candidate,
    thumbnails: npt.NDArray[np.uint8],
    order: npt.NDArray[np.int64],
    minimum: float,
) -> _Compared | None:
    """Correlation and map at 64 pixels, or None for a pair that is ruled out."""
    scan = equalised(thumbnails[order[candidate.scan]])
    copy = laid(equalised(thumbnails[order[candidate.copy]]), candidate.lay, candidate.negative)
    small = _halved(scan), _halved(copy)
    warp = align(*small, start_of(candidate, SIDE // 2), iterations=15, smoothing=3)
    if warp is None or agreement(*small, warp) < minimum - _GATE:
        return None
    warp = align(scan, copy, enlarged(warp, 2), iterations=30, smoothing=5)
    if warp is None:
        return None
    correlation = agreement(scan, copy, warp)
    return None if correlation < minimum - _UNDECIDED[0] else _Compared(candidate, correlation, warp)


def _original(reread: _Reread, row: int) -> Floats | None:
    try:
        image = reread(row)
    except UnreadableScan:
        return None
    return equalised(thumbnail(image[None], _LARGE))


def _again(original: Callable[[int], Floats | None], rows: tuple[int, int], compared: _Compared) -> float:
    """Correlation at :data:`_LARGE`, or the one of the thumbnails where an original cannot be had."""
    scan, copy = original(rows[0]), original(rows[1])
    if scan is None or copy is None:
        return compared.correlation
    copy = laid(copy, compared.candidate.lay, compared.candidate.negative)
    warp = align(scan, copy, enlarged(compared.warp, _LARGE / SIDE), iterations=30, smoothing=5)
    return 0.0 if warp is None else agreement(scan, copy, warp)

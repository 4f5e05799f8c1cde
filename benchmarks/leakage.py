"""Does the search for near copies stay near-linear, and does it find what was planted?

Made thumbnails of distinct pictures (one common pattern and a random field of their own, so that any two
correlate highly, as radiographs do), 2 % of them copied: mirrored, turned, cropped to 80 %, darkened, with
noise. Seconds at N and at four times N; --quick 2,500 and 10,000, else 25,000 and 100,000 scans.
"""

from __future__ import annotations

import os
import resource
import time

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.table import Row, is_quick, median, publish, spread
from scanlens.manifest.near_copies.find import near_copies
from scanlens.manifest.near_copies.thumbnails import SIDE, thumbnail

PLANTED = 0.02
MINIMUM = 0.96

Pictures = npt.NDArray[np.uint8]


def make(count: int, seed: int) -> tuple[Pictures, set[tuple[int, int]]]:
    """Thumbnails, the copies at their end, and the pairs that were planted."""
    rng = np.random.default_rng(seed)
    common = field(np.random.default_rng(0))
    copies = int(count * PLANTED)
    thumbnails = np.empty((count, SIDE, SIDE), np.uint8)
    for row in range(count - copies):
        picture = 2 * common + field(rng)
        thumbnails[row] = thumbnail(picture[None])
        if row < copies:
            thumbnails[count - copies + row] = thumbnail(change(picture, rng)[None])
    return thumbnails, {(row, count - copies + row) for row in range(copies)}


def field(rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Random structure of all sizes, falling off with frequency as pictures do."""
    total = np.zeros((2 * SIDE, 2 * SIDE), np.float32)
    for cells in (3, 6, 12, 24, 48):
        noise = rng.normal(0, 1 / np.sqrt(cells), (cells, cells)).astype(np.float32)
        total += cv2.resize(noise, (2 * SIDE, 2 * SIDE), interpolation=cv2.INTER_CUBIC)
    return total


def change(picture: npt.NDArray[np.float32], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """A copy as they come."""
    kind = rng.integers(0, 4)
    if kind == 0:
        picture = picture[:, ::-1]
    elif kind == 1:
        picture = np.rot90(picture, int(rng.integers(1, 4)))
    elif kind == 2:
        side = round(0.8 * len(picture))
        top, left = rng.integers(0, len(picture) - side, 2)
        picture = picture[top : top + side, left : left + side]
    else:
        low, high = picture.min(), picture.max()
        picture = ((picture - low) / (high - low)) ** rng.choice([0.6, 1.6])
    return (picture + rng.normal(0, 0.01 * picture.std(), picture.shape)).astype(np.float32)


def measure(count: int, runs: int) -> tuple[list[float], float, int]:
    """Seconds of each run, the share of plants found, and false pairs of all runs."""
    seconds, found, false = [], [], 0
    for run in range(runs):
        thumbnails, planted = make(count, run + 1)
        start = time.perf_counter()
        pairs = {(pair.first, pair.second) for pair in near_copies(thumbnails, minimum=MINIMUM)}
        seconds.append(time.perf_counter() - start)
        found.append(len(pairs & planted) / len(planted))
        false += len(pairs - planted)
    return seconds, median(found), false


def main() -> None:
    sizes, runs = ((2_500, 10_000), 1) if is_quick() else ((25_000, 100_000), 1)
    minutes = sizes[1] // 10_000
    (short, _, _), (long, found, false) = (measure(count, runs) for count in sizes)
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    what = f"near copies, seconds: {sizes[1]:,} scans against {sizes[0]:,}"
    rows = [
        Row(what, median(long), median(short), median(long) / median(short), "<= 5.0", runs, spread(long)),
        Row(f"near copies, {sizes[1]:,} scans: minutes", median(long) / 60, minutes, median(long) / 60,
            f"<= {minutes}", runs, spread(long)),
        Row("near copies, share of planted ones found", found, 1, found, ">= 0.95", runs, 0),
        Row("near copies, pairs that were not planted", false, 0, false, "<= 0", runs, 0),
        Row("near copies, peak memory in GiB", base, 4, base, "<= 4", runs, 0),
    ]  # fmt: skip
    publish("leakage", rows)


if __name__ == "__main__":
    main()

"""How a scan's values are spread, counted once: percentiles, and the line between background and body.

Counting is many times as fast as sorting, which is what exact percentiles need; a value is known to
one part in :data:`BINS` of the range.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt

from scanlens.types import FloatArray

BINS = 1 << 13
_TRIM = 5e-4
"""Share of the values at either end that may be outliers."""
_CROWDED = BINS // 16
"""Bins that must not hold all but the outliers: they would tell too little apart."""
_PASSES = 8
"""Enough for outliers 30 orders of magnitude away."""
_BLOCK = 1 << 18
"""Values counted at a time."""
LEAST_SPAN, MOST_SPAN = 1e-30, float(np.finfo(np.float32).max)
"""Between two values that float32 can be counted and rescaled between, neither under- nor overflowing."""


@dataclass(frozen=True)
class Histogram:
    """Counts of values in even bins.

    Attributes:
        counts: int64, ``(BINS,)``; the outermost bins hold outliers too.
        lower: Left edge of the first bin.
        width: Of a bin.
    """

    counts: npt.NDArray[np.int64]
    lower: float
    width: float

    @cached_property
    def _cumulative(self) -> npt.NDArray[np.int64]:
        return np.cumsum(self.counts)

    def percentile(self, percent: float, above: float = -np.inf) -> tuple[float, float] | None:
        """Find a percentile: the least value that as many per cent of the values do not exceed.

        Args:
            percent: In [0, 100].
            above: Only values above this count.

        Returns:
            The edges of the bin that holds it (by NumPy's method ``inverted_cdf``); None where there are no
            values.
        """
        first = self._bin(above) + 1
        passed = int(self._cumulative[first - 1]) if first else 0
        total = int(self._cumulative[-1]) - passed
        if not total:
            return None
        # Rounded, so that 99.5 % of 200 is not the 200th of them by a rounding error.
        rank = passed + max(round(percent / 100 * total, 6), 1)
        left = self.lower + int(np.searchsorted(self._cumulative, rank)) * self.width
        return left, left + self.width

    def spread(self, percentiles: tuple[float, float]) -> tuple[float, float] | None:
        """Two percentiles, rounded outwards to the edges of their bins; None where they share one."""
        low, high = (self.percentile(percent) for percent in percentiles)
        return (low[0], high[1]) if low and high and low != high else None

    def moments(self, above: float) -> tuple[float, float] | None:
        """Mean and standard deviation of the values above a threshold; None where there is none."""
        counts = self.counts[self._bin(above) + 1 :]
        total = counts.sum()
        if not total:
            return None
        centres = self._centres[-len(counts) :]
        mean = float(counts @ centres / total)
        return mean, float(np.sqrt(counts @ np.square(centres - mean) / total))

    @cached_property
    def background(self) -> float:
        """The value up to which pixels count as background: half way from the darkest to Otsu's threshold.

        Otsu's threshold (IEEE Trans. SMC 9, 1979) parts the values into the two groups of least variance,
        which for a scan are air and body, or dark and bright tissue. Half way down, dark tissue stays with
        the body.
        """
        weight = self._cumulative[:-1].astype(np.float64)
        sums = np.cumsum(self.counts * self._centres)
        rest = self._cumulative[-1] - weight
        inner = (weight > 0) & (rest > 0)
        if not inner.any():
            return -np.inf
        between = np.zeros(BINS - 1)
        share = weight[inner] / self._cumulative[-1]
        between[inner] = (sums[-1] * share - sums[:-1][inner]) ** 2 / (weight[inner] * rest[inner])
        best = np.flatnonzero(between >= between.max() * (1 - 1e-9))
        darkest = self._centres[np.argmax(self.counts > 0)]
        return float((darkest + self.lower + (best.mean() + 1) * self.width) / 2)

    @cached_property
    def _centres(self) -> npt.NDArray[np.float64]:
        return np.arange(0.5, BINS, dtype=np.float64) * self.width + self.lower

    def _bin(self, value: float) -> int:
        """Bin that a value falls into; -1 below all of them."""
        if value < self.lower:
            return -1
        return min(int((value - self.lower) / self.width), BINS - 1)


def count_values(pixels: FloatArray, lowest: float, highest: float) -> Histogram:
    """Count values.

    Single values far from all others (metal, a burnt-in marker, a broken detector element) do not coarsen
    the bins of the rest: such outliers are counted in the outermost bins.

    Args:
        pixels: float32 of any shape, finite.
        lowest: The least of them.
        highest: The greatest, :data:`LEAST_SPAN` to :data:`MOST_SPAN` above ``lowest``.
    """
    found = _count(pixels, lowest, highest)
    for _ in range(_PASSES):
        cumulative = np.cumsum(found.counts)
        ranks = cumulative[-1] * np.array([_TRIM, 1 - _TRIM])
        first, last = (int(number) for number in np.searchsorted(cumulative, ranks))
        lower, upper = (np.float32(found.lower + edge * found.width) for edge in (first, last + 1))
        if last - first >= _CROWDED or upper - lower < LEAST_SPAN or (lower, upper) == (lowest, highest):
            break
        found = _count(np.clip(pixels, lower, upper), float(lower), float(upper))
    return found


def _count(pixels: FloatArray, lower: float, upper: float) -> Histogram:
    """Count values, all of them from ``lower`` to ``upper``, which falls into the last bin."""
    flat = np.ascontiguousarray(pixels, dtype=np.float32).reshape(-1)
    scale = np.float32(BINS * (1 - 1e-6) / (upper - lower))
    counts = np.zeros(BINS, np.int64)
    # OpenCV counts whole numbers several times as fast as others. Blocks stay in the processor's cache.
    for start in range(0, flat.size, _BLOCK):
        block = flat[start : start + _BLOCK] - np.float32(lower)
        block *= scale
        bins = block.astype(np.uint16).reshape(1, -1)
        counts += cv2.calcHist([bins], [0], None, [BINS], [0, BINS]).ravel().astype(np.int64)
    return Histogram(counts, lower, 1 / float(scale))

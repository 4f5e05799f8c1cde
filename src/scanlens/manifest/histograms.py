"""How the accepted scans are distributed: in bars, for the data-quality page to draw."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

MAX_BARS = 20
"""Most bars of one histogram; fewer different values get a bar each."""


@dataclass(frozen=True)
class _Bar:
    """One bar.

    Attributes:
        label: The value, or the range of values.
        count: Scans.
        height: Relative to the highest bar, in [0, 1].
    """

    label: str
    count: int
    height: float


@dataclass(frozen=True)
class _Histogram:
    """One distribution.

    Attributes:
        title: What is counted, with its unit.
        bars: In order of the value (numbers) or the count (names).
        numeric: Whether the bars follow an axis of numbers, evenly in ranges.
        low: Left end of that axis.
        high: Right end of that axis.
        unknown: Scans without a value.
    """

    title: str
    bars: list[_Bar]
    numeric: bool
    low: str
    high: str
    unknown: int


def distributions(accepted: pd.DataFrame) -> list[_Histogram]:
    """Sizes, spacings and kinds of the accepted scans of a manifest; nothing for a column that is empty."""
    axes = ("depth", "height", "width")
    histograms = []
    for place in (-3, -2, -1):
        histograms.append(numeric(f"{axes[place].capitalize()}, pixels", _along(accepted["shape"], place)))
    for place in (-3, -2, -1):
        spacing = _along(accepted["spacing"], place)
        histograms.append(numeric(f"Spacing along the {axes[place]}, mm", spacing))
    for title, column in (
        ("Modality", "modality"), ("Photometric interpretation", "photometric"), ("Bits a sample", "bits"),
        ("Channels", "channels"), ("Orientation", "orientation"), ("Burned-in text", "burned_in"),
    ):  # fmt: skip
        histograms.append(categories(title, accepted[column].astype(str)))
    return [histogram for histogram in histograms if histogram.bars]


def numeric(title: str, values: pd.Series) -> _Histogram:
    """Count numbers in even ranges, or each value where there are few; NaN is unknown.

    Example:
        >>> found = numeric("Width, pixels", pd.Series([512, 512, 1024, np.nan]))
        >>> [(bar.label, bar.count, bar.height) for bar in found.bars], found.unknown
        ([('512', 2, 1.0), ('1024', 1, 0.5)], 1)
        >>> found = numeric("Width, pixels", pd.Series(range(100)))  # too many values for a bar each
        >>> len(found.bars), found.bars[0].label, found.low, found.high
        (20, '0 to 4.95', '0', '99')
    """
    known = values.dropna().to_numpy(dtype=np.float64)
    unknown = len(values) - len(known)
    distinct, counts = np.unique(known, return_counts=True)
    if len(distinct) <= MAX_BARS // 2:
        return _Histogram(title, _bars([f"{value:g}" for value in distinct], counts), False, "", "", unknown)
    counts, edges = np.histogram(known, bins=MAX_BARS)
    labels = [f"{low:.4g} to {high:.4g}" for low, high in pairwise(edges)]
    return _Histogram(title, _bars(labels, counts), True, f"{edges[0]:.4g}", f"{edges[-1]:.4g}", unknown)


def categories(title: str, values: pd.Series) -> _Histogram:
    """Count names, the most frequent first, the rarest together; an empty name is unknown.

    Example:
        >>> found = categories("Modality", pd.Series(["CT", "CR", "CR", ""]))
        >>> [(bar.label, bar.count) for bar in found.bars], found.unknown
        ([('CR', 2), ('CT', 1)], 1)
    """
    counts = values[values != ""].value_counts().sort_index().sort_values(ascending=False, kind="stable")
    labels, numbers = [str(name) for name in counts.index], counts.to_numpy()
    if len(labels) > MAX_BARS // 2:
        kept = MAX_BARS // 2 - 1
        labels = [*labels[:kept], f"{len(labels) - kept} others"]
        numbers = np.append(numbers[:kept], numbers[kept:].sum())
    return _Histogram(title, _bars(labels, numbers), False, "", "", int((values == "").sum()))


def _along(values: pd.Series, place: int) -> pd.Series:
    """The entry of each list at this place from its end; NaN where the list is too short."""
    return values.map(lambda entries: float(entries[place]) if len(entries) >= -place else np.nan)


def _bars(labels: list[str], counts: np.ndarray) -> list[_Bar]:
    most = max(int(counts.max(initial=0)), 1)
    return [_Bar(label, int(count), int(count) / most) for label, count in zip(labels, counts, strict=True)]

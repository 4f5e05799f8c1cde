"""Grey values: from a scan's own units to [0, 1], and from there to what a network sees."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import numpy as np

from scanlens.preprocess.histogram import LEAST_SPAN, MOST_SPAN, Histogram, count_values
from scanlens.types import FloatArray, ImageArray, Scan

IntensityRange: TypeAlias = tuple[float, float]
"""The values that become 0 and 1, lower < upper."""

SOFT_TISSUE: IntensityRange = (-160.0, 240.0)
"""CT window in Hounsfield units: width 400, level 40."""
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""Weights of red, green and blue in the grey value (ITU-R BT.601)."""
BYTE_RANGE: IntensityRange = (0.0, 255.0)
DEVIATIONS = 3.0
"""Standard deviations to either side of the mean that rule zscore shows."""
SANE_OVERLAP = 0.25
"""A file's window and the range of its pixels must share this much of the wider of the two."""


@dataclass(frozen=True)
class Default:
    """What ``auto`` does with a modality.

    Attributes:
        rules: Names in :data:`RULES`; the first that applies to the scan chooses its limits.
        crop: What ``crop: auto`` does.
        reason: Why.
    """

    rules: tuple[str, ...]
    crop: Literal["none", "fan"]
    reason: str


RADIOGRAPH = Default(
    ("file_window", "bytes", "percentile"),
    "none",
    "The unit is the maker's own; the window in the file is what the modality found best for this exposure.",
)
PICTURE = Default(("bytes", "percentile"), "none", "Stored as it is shown; of more bits, as it is spread.")
EMISSION = Default(
    ("from_zero", "percentile"), "none", "Counts or uptake: 0 means nothing, and most of the field is 0."
)
DEFAULTS: Mapping[str, Default] = MappingProxyType(
    {
        "CT": Default(
            ("soft_tissue",),
            "none",
            "Hounsfield units are absolute: one window for all keeps scans comparable. The window in a file "
            "is a viewer's choice for that series (lung, bone, brain) and would move every tissue's value.",
        ),
        "MR": Default(
            ("foreground", "percentile"),
            "none",
            "The unit differs from scan to scan; the air around the body must not decide.",
        ),
        "US": Default(("bytes", "percentile"), "fan", "Around the fan lie annotations and a black border."),
        **dict.fromkeys(("CR", "DX", "MG", "RF", "XA", "PX", "IO", "RG"), RADIOGRAPH),
        **dict.fromkeys(("NM", "PT"), EMISSION),
        **dict.fromkeys(("ES", "GM", "OP", "SM", "XC", "OT"), PICTURE),
    }
)
"""By DICOM modality code; others go as ``OT``. CT volumes in NIfTI files do not say that they are CT: give
``preprocess.windows`` for them."""


def default(modality: str) -> Default:
    """What ``auto`` does with a modality."""
    return DEFAULTS.get(modality, DEFAULTS["OT"])


@dataclass(frozen=True)
class _Values:
    """A scan and what the rules ask of its values."""

    scan: Scan
    percentiles: tuple[float, float]
    lowest: float
    highest: float

    @cached_property
    def histogram(self) -> Histogram:
        _check_span(self.lowest, self.highest)
        return count_values(self.scan.pixels, self.lowest, self.highest)


def _file_window(values: _Values) -> IntensityRange | None:
    """The window in the file if it is sane: placeholders such as 0 to 1 or 0 to 65535 are not."""
    window, spread = values.scan.window, _percentile(values)
    if window is None or spread is None or not np.isfinite(window).all() or not window[0] < window[1]:
        return None
    common = min(window[1], spread[1]) - max(window[0], spread[0])
    wider = max(window[1] - window[0], spread[1] - spread[0])
    return window if common >= SANE_OVERLAP * wider else None


def _percentile(values: _Values) -> IntensityRange | None:
    return values.histogram.spread(values.percentiles)


def _foreground(values: _Values) -> IntensityRange | None:
    """From the scan's low percentile to the body's high one: however much air there is, it becomes 0."""
    histogram, (low, high) = values.histogram, values.percentiles
    lower, upper = histogram.percentile(low), histogram.percentile(high, above=histogram.background)
    return (lower[0], upper[1]) if lower and upper else None


def _from_zero(values: _Values) -> IntensityRange | None:
    upper = values.histogram.percentile(values.percentiles[1], above=values.histogram.background)
    return (0.0, upper[1]) if upper and upper[1] > 0 else None


def _zscore(values: _Values) -> IntensityRange | None:
    moments = values.histogram.moments(values.histogram.background)
    if moments is None or not moments[1] > 0:
        return None
    mean, reach = moments[0], DEVIATIONS * moments[1]
    return mean - reach, mean + reach


RULES: Mapping[str, Callable[[_Values], IntensityRange | None]] = MappingProxyType(
    {
        "soft_tissue": lambda values: SOFT_TISSUE,
        "bytes": lambda values: BYTE_RANGE if values.scan.bits <= 8 and not values.scan.rescaled else None,
        "file_window": _file_window,
        "percentile": _percentile,
        "foreground": _foreground,
        "from_zero": _from_zero,
        "zscore": _zscore,
    }
)
"""From a scan's values to limits; None where the rule does not apply."""


_FIXED = ("soft_tissue", "bytes")
"""Rules that ask nothing of the values."""


def limits(
    scan: Scan, rule: str, percentiles: tuple[float, float], span: tuple[float, float]
) -> IntensityRange:
    """Choose the values that become 0 and 1.

    Args:
        scan: The scan, in its own units, without what is padding.
        rule: ``auto``: by modality, :data:`DEFAULTS`. ``window``: the file's own, whatever it is.
            ``percentile``: two percentiles of the scan's pixels. ``minmax``: its least and greatest.
            ``zscore``: :data:`DEVIATIONS` standard deviations to either side of the mean, both of the
            pixels above :attr:`scanlens.preprocess.histogram.Histogram.background`.
        percentiles: Lower and upper, in [0, 100].
        span: Its :func:`extremes`.

    Returns:
        Lower and upper, as :func:`rescale` needs them. A scan in which the rule tells nothing apart, as it
        is nearly all background, has its least and greatest; a blank one becomes 0 everywhere.

    Raises:
        ValueError: A window is asked for and there is none, its width is none, or float32 cannot hold the
            distance between the scan's values.
    """
    found = _chosen(scan, rule, percentiles, span)
    _check_span(*found)
    return found


def _chosen(scan: Scan, rule: str, percentiles: tuple[float, float], span: IntensityRange) -> IntensityRange:
    lowest, highest = span
    if rule == "window":
        if scan.window is None:
            raise ValueError("no window: preprocess.windows is null and the file suggests none")
        return scan.window
    names = default(scan.modality).rules if rule == "auto" else () if rule == "minmax" else (rule,)
    values = _Values(scan, percentiles, lowest, highest)
    for name in names:
        if (lowest < highest or name in _FIXED) and (found := RULES[name](values)):
            return found
    # One more is no more where values are large.
    return (lowest, highest) if lowest < highest else (lowest, lowest + max(1.0, abs(lowest)))


def divisible(lower: float, upper: float) -> bool:
    """Whether :func:`rescale` can work with these limits: in order, float32 holds them and their distance."""
    return LEAST_SPAN <= upper - lower <= MOST_SPAN and max(-lower, upper) <= MOST_SPAN


def _check_span(lower: float, upper: float) -> None:
    if not divisible(lower, upper):
        raise ValueError(f"limits: nothing can be scaled between {lower:g} and {upper:g} in float32")


def extremes(pixels: FloatArray) -> IntensityRange:
    """Least and greatest value.

    Raises:
        ValueError: Pixels are no numbers or infinite.
    """
    lowest, highest = float(pixels.min()), float(pixels.max())
    if not np.isfinite([lowest, highest]).all():
        raise ValueError("not finite: pixels that are no numbers or infinite")
    return lowest, highest


def convert_channels(pixels: ImageArray, channels: int) -> ImageArray:
    """Make a picture grey or three-channel.

    Args:
        pixels: ``(1 or 3, *spatial)``, any range.
        channels: 1 (Rec. 601 luma) or 3 (grey repeated).

    Returns:
        float32, ``(channels, *spatial)``; the same array where nothing is to be done.
    """
    if len(pixels) == channels:
        return pixels
    if channels == 3:
        return np.repeat(pixels, 3, axis=0)
    return (LUMA @ pixels.reshape(3, -1)).reshape(1, *pixels.shape[1:])


def rescale(pixels: FloatArray, lower: float, upper: float) -> ImageArray:
    """Map ``lower`` to 0 and ``upper`` to 1 linearly, and clip: float32, the same shape.

    Args:
        pixels: Finite.
        lower: Becomes 0.
        upper: Becomes 1; see :func:`divisible`.
    """
    scaled = (pixels.astype(np.float32, copy=False) - np.float32(lower)) / np.float32(upper - lower)
    return np.clip(scaled, 0, 1, out=scaled)


def standardise(batch: ImageArray, statistics: Mapping[str, Any]) -> ImageArray:
    """Shift and scale each channel as the store's statistics say: the input of every network.

    Args:
        batch: float32 in [0, 1], ``(batch, channel, *spatial)``.
        statistics: ``mean`` and ``std``, one number a channel:
            :func:`scanlens.preprocess.statistics.training_statistics`.

    Returns:
        float32, the same shape: ``(batch - mean) / std``.
    """
    mean, std = (_by_channel(statistics[name], batch) for name in ("mean", "std"))
    return (batch - mean) / std


def _by_channel(values: Sequence[float], batch: ImageArray) -> ImageArray:
    if len(values) != batch.shape[1]:
        raise ValueError(f"expected {len(values)} channels in axis 1, got an array of shape {batch.shape}")
    return np.asarray(values, dtype=np.float32).reshape(-1, *[1] * (batch.ndim - 2))

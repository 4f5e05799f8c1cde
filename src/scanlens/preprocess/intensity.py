"""Grey values: from a scan's own units to [0, 1], and from there to what a network sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scanlens.types import FloatArray, ImageArray, Scan

SOFT_TISSUE = (-160.0, 240.0)
"""Default CT window in Hounsfield units: width 400, level 40."""
LUMA = np.array([0.299, 0.587, 0.114])
"""Weights of red, green and blue in the grey value (ITU-R BT.601)."""
BYTE_RANGE = (0.0, 255.0)


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
    return np.tensordot(LUMA, pixels, axes=1)[np.newaxis].astype(np.float32)


def limits(
    scan: Scan, rule: str, percentiles: tuple[float, float], window: tuple[float, float] | None
) -> tuple[float, float]:
    """Choose the values that become 0 and 1.

    Args:
        scan: The scan, in its own units.
        rule: ``window``: ``window``, else the file's own. ``percentile``: two percentiles of the scan's
            pixels. ``minmax``: its least and greatest. ``auto``: for CT ``window``, else the file's, else
            soft tissue; for other scans of more than 8 bits the percentiles; else 0 and 255.
        percentiles: Lower and upper, in [0, 100].
        window: Lower and upper in the scan's units (HU for CT), or None.

    Returns:
        Lower and upper, lower < upper.

    Raises:
        ValueError: A window is asked for and there is none, or pixels are no numbers.
    """
    if rule == "auto" and scan.modality == "CT":
        return window or scan.window or SOFT_TISSUE
    if rule == "auto" and scan.bits <= 8:
        return BYTE_RANGE
    if rule == "window":
        chosen = window or scan.window
        if chosen is None:
            raise ValueError("no window: preprocess.window is null and the file suggests none")
        return chosen
    lower, upper = scan.pixels.min(), scan.pixels.max()
    if not np.isfinite([lower, upper]).all():
        raise ValueError("not finite: pixels that are no numbers or infinite")
    if rule in ("auto", "percentile"):
        low, high = np.percentile(scan.pixels, percentiles)
        # A scan that is nearly all background has equal percentiles and still shows something.
        if low < high:
            lower, upper = low, high
    # A blank scan becomes 0 everywhere.
    return float(lower), float(upper) if lower < upper else float(lower) + 1.0


def rescale(pixels: FloatArray, lower: float, upper: float) -> ImageArray:
    """Map ``lower`` to 0 and ``upper`` to 1 linearly, and clip: float32, the same shape."""
    scaled = (pixels.astype(np.float32, copy=False) - np.float32(lower)) / np.float32(upper - lower)
    return np.clip(scaled, 0, 1, out=scaled)


def standardise(batch: ImageArray, statistics: Mapping[str, Any]) -> ImageArray:
    """Shift and scale each channel by the training split's statistics: the input of every network.

    Args:
        batch: float32 in [0, 1], ``(batch, channel, *spatial)``.
        statistics: ``mean`` and ``std``, one number a channel.

    Returns:
        float32, the same shape: ``(batch - mean) / std``.
    """
    mean, std = (_by_channel(statistics[name], batch) for name in ("mean", "std"))
    return (batch - mean) / std


def _by_channel(values: Sequence[float], batch: ImageArray) -> ImageArray:
    if len(values) != batch.shape[1]:
        raise ValueError(f"expected {len(values)} channels in axis 1, got an array of shape {batch.shape}")
    return np.asarray(values, dtype=np.float32).reshape(-1, *[1] * (batch.ndim - 2))

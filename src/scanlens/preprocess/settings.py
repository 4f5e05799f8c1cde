"""The preprocess section checked, and every ``auto`` in it that the manifest decides."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from scanlens.config.schema import Preprocess
from scanlens.errors import SettingsError
from scanlens.preprocess.intensity import Limits, divisible
from scanlens.preprocess.spacing import known, size_of_extents

SMALLEST_SIDE = 4
"""Least side of the network's input, pixels."""


def grid_axes(config: Preprocess, dims: int) -> int:
    """Spatial axes of the network's input: slices make an image of a volume.

    Raises:
        SettingsError: ``slices`` is even, below 1, or asked of images.
    """
    if config.slices < 1 or config.slices % 2 == 0:
        raise SettingsError(f"preprocess.slices: expected an odd number, at least 1, got {config.slices}.")
    if config.slices > 1 and dims != 3:
        raise SettingsError("preprocess.slices: expected 1, as data.dims is 2.", "Set data.dims=3.")
    return dims if config.slices == 1 else 2


def checked_percentiles(config: Preprocess) -> tuple[float, float]:
    """Lower and upper.

    Raises:
        SettingsError: They are out of order or range.
    """
    low, high = _pair("percentiles", config.percentiles)
    if not 0 <= low < high <= 100:
        raise SettingsError(
            f"preprocess.percentiles: expected 0 <= lower < upper <= 100, got {config.percentiles}."
        )
    return low, high


def checked_windows(config: Preprocess) -> tuple[Limits, ...] | None:
    """(lower, upper) each, or None.

    Raises:
        SettingsError: One is out of order, there is none in the list, or another setting contradicts them.
    """
    if config.windows is None:
        return None
    windows = tuple(_pair("windows", window) for window in config.windows)
    if not windows or not all(divisible(*window) for window in windows):
        raise SettingsError(f"preprocess.windows: expected lower < upper in each, got {config.windows}.")
    if config.intensity not in ("auto", "window"):
        raise SettingsError(
            f"preprocess.windows: expected null where preprocess.intensity is {config.intensity}.",
            "Set preprocess.intensity=window, or preprocess.windows=null.",
        )
    return windows


def checked_spacing(config: Preprocess, axes: int) -> tuple[float, ...] | None:
    """Millimetres along each axis of the network's input, or None.

    Raises:
        SettingsError: Another number of them, one not above 0, or ``aspect`` contradicts them.
    """
    if config.spacing is None:
        return None
    steps = [config.spacing] * axes if isinstance(config.spacing, int | float) else config.spacing
    found = known(steps, axes)
    if found is None:
        raise SettingsError(
            f"preprocess.spacing: expected a number or {axes} numbers above 0, got {config.spacing}."
        )
    if config.aspect != "pad":
        raise SettingsError(
            f"preprocess.spacing: expected null where preprocess.aspect is {config.aspect}.",
            "Set preprocess.aspect=pad.",
        )
    return found


def chosen_channels(config: Preprocess, accepted: pd.DataFrame) -> int:
    """Channels of the network's input.

    Raises:
        SettingsError: ``channels`` contradicts windows and slices.
    """
    parts = config.slices * len(config.windows or [[]])
    if config.channels == "auto":
        return parts if parts > 1 else 3 if (accepted["channels"] == 3).mean() > 0.5 else 1
    if parts not in (1, config.channels):
        raise SettingsError(
            f"preprocess.channels: expected auto or {parts}, one for each window and slice, "
            f"got {config.channels}."
        )
    return config.channels


def chosen_size(
    config: Preprocess, accepted: pd.DataFrame, axes: int, spacing: Sequence[float] | None
) -> tuple[int, ...]:
    """Pixels along each axis of the network's input; ``auto`` goes by the training scans.

    Raises:
        SettingsError: ``size`` is out of range, or none of the training scans says its spacing.
    """
    if config.size == "auto":
        train = accepted[accepted["split"] == "train"]
        # Of a volume that becomes an image the depth does not count.
        shapes = np.array([list(shape)[-axes:] for shape in train["shape"]])
        if spacing is None:
            return (_auto_side(shapes),) * axes
        found = [known(tuple(steps), len(shape)) for steps, shape in train[["spacing", "shape"]].values]
        extents = [shape * steps[-axes:] for shape, steps in zip(shapes, found, strict=True) if steps]
        if not extents:
            raise SettingsError(
                "preprocess.spacing: expected null, as no training scan says its millimetres a pixel.",
                "Set preprocess.spacing=null.",
            )
        return size_of_extents(extents, spacing)
    sides = (config.size,) * axes if isinstance(config.size, int) else tuple(config.size)
    if len(sides) != axes or min(sides) < SMALLEST_SIDE:
        raise SettingsError(
            f"preprocess.size: expected a number or {axes} numbers, each at least {SMALLEST_SIDE}, "
            f"got {config.size}."
        )
    return sides


def _pair(name: str, values: Sequence[float]) -> Limits:
    if len(values) != 2:
        raise SettingsError(f"preprocess.{name}: expected two numbers, got {list(values)}.")
    return float(values[0]), float(values[1])


def _auto_side(shapes: npt.NDArray[np.int64]) -> int:
    """Side of the square or cube for scans of these ``(scan, axis)`` shapes."""
    if shapes.shape[1] == 3:
        longest = float(np.median(shapes, axis=0).max())
        return _round_up(longest, 4) if longest <= 64 else 64
    shorter = float(np.median(shapes.min(axis=1)))
    if shorter <= 64:
        return _round_up(shorter, 4)
    return 128 if shorter < 256 else 224


def _round_up(side: float, multiple: int) -> int:
    return int(np.ceil(side / multiple)) * multiple

"""Every ``auto`` of section preprocess that the manifest decides, and its numbers axis by axis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from scanlens.config.schema import Preprocess
from scanlens.errors import SettingsError
from scanlens.preprocess.spacing import known, size_of_extents


def grid_axes(config: Preprocess, dims: int) -> int:
    """Spatial axes of the network's input: slices make an image of a volume."""
    return dims if config.slices == 1 else 2


def grid_spacing(config: Preprocess, axes: int) -> tuple[float, ...] | None:
    """Millimetres along each axis of the network's input, or None."""
    if config.spacing is None:
        return None
    return tuple(config.spacing) if isinstance(config.spacing, list) else (config.spacing,) * axes


def chosen_channels(config: Preprocess, accepted: pd.DataFrame) -> int:
    """Channels of the network's input."""
    parts = config.slices * len(config.windows or [[]])
    if config.channels == "auto":
        return parts if parts > 1 else 3 if (accepted["channels"] == 3).mean() > 0.5 else 1
    return config.channels


def chosen_size(
    config: Preprocess, accepted: pd.DataFrame, axes: int, spacing: Sequence[float] | None
) -> tuple[int, ...]:
    """Pixels along each axis of the network's input; ``auto`` goes by the training scans.

    Raises:
        SettingsError: None of the training scans says its spacing.
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
    return (config.size,) * axes if isinstance(config.size, int) else tuple(config.size)


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

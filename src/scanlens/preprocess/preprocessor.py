"""The one way from a scan to a network's input: training and inference both call it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from scanlens.config.schema import Preprocess
from scanlens.errors import ScanlensError, SettingsError, UnreadableScan
from scanlens.manifest.columns import OK
from scanlens.preprocess.geometry import fit, placement
from scanlens.preprocess.intensity import convert_channels, limits, rescale
from scanlens.types import ImageArray, Scan

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Preprocessor:
    """What happens to a scan, with every ``auto`` resolved but the rule of the intensities.

    Attributes:
        size: Pixels along each spatial axis of the result.
        channels: 1 or 3.
        aspect: ``pad`` or ``stretch``: :func:`scanlens.preprocess.geometry.placement`.
        intensity: ``auto``, ``window``, ``percentile`` or ``minmax``:
            :func:`scanlens.preprocess.intensity.limits`. ``auto`` goes by each scan's own kind.
        percentiles: Lower and upper, in [0, 100].
        window: Lower and upper in the scan's units (HU for CT), or None for the file's own.
        dims: 2 or 3.
    """

    size: tuple[int, ...]
    channels: int
    aspect: str
    intensity: str
    percentiles: tuple[float, float]
    window: tuple[float, float] | None
    dims: int

    def apply(self, scan: Scan, name: str = "scan") -> ImageArray:
        """Preprocess one scan.

        Args:
            scan: As decoded.
            name: How to name it in an error.

        Returns:
            float32 in [0, 1], ``(channels, *size)``.

        Raises:
            UnreadableScan: Its number of axes is another, it has no window though one is asked for, or
                it has pixels that are no numbers.
        """
        if scan.pixels.ndim != self.dims + 1:
            reason = f"dimensions: {scan.pixels.ndim - 1} spatial axes, but {self.dims} are expected"
            raise UnreadableScan(name, reason)
        pixels = convert_channels(scan.pixels, self.channels)
        try:
            lower, upper = limits(
                dataclasses.replace(scan, pixels=pixels), self.intensity, self.percentiles, self.window
            )
        except ValueError as error:
            raise UnreadableScan(name, str(error)) from error
        image = fit(rescale(pixels, lower, upper), self.size, self.aspect, scan.spacing)
        if not np.isfinite(image).all():
            raise UnreadableScan(name, "not finite: pixels that are no numbers or infinite")
        # Interpolation may leave [0, 1] by a rounding error.
        return np.clip(image, 0, 1, out=image)

    def apply_mask(
        self, mask: BoolArray, spatial: Sequence[int], spacing: Sequence[float] | None = None
    ) -> BoolArray:
        """Bring a mask drawn on a scan onto the preprocessed grid.

        Args:
            mask: ``spatial``-shaped.
            spatial: The scan's pixels along each spatial axis.
            spacing: The scan's millimetres a pixel, or None: what ``apply`` found in the scan.

        Returns:
            ``size``-shaped: places that the mask covers at least by half. Of a mask too small for that
            the places that it covers most remain.

        Raises:
            ScanlensError: The mask's shape is another than the scan's.
        """
        if mask.shape != tuple(spatial):
            raise ScanlensError(
                f"a mask of shape {mask.shape} was given for a scan of shape {tuple(spatial)}.",
                "Draw masks on the scan's own pixels.",
            )
        cover = fit(mask[np.newaxis].astype(np.float32), self.size, self.aspect, spacing)[0]
        return (cover >= min(0.5, float(cover.max()))) & (cover > 0)

    def placement(self, spatial: Sequence[int], spacing: Sequence[float] | None = None) -> tuple[slice, ...]:
        """Where a scan lies within ``size``: one slice an axis; the way back for maps and overlays."""
        return placement(spatial, self.size, self.aspect, spacing)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object; :meth:`from_json` makes the same preprocessor of it."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Preprocessor:
        """Make a preprocessor of what :meth:`to_json` returned.

        Raises:
            SettingsError: A key is missing or unknown.
        """
        expected = {field.name for field in dataclasses.fields(cls)}
        if set(content) != expected:
            raise SettingsError(
                f"preprocessor: missing {sorted(expected - set(content))}, "
                f"unknown {sorted(set(content) - expected)}.",
                "Run the preprocess stage again.",
            )
        values: dict[str, Any] = dict(content)
        for name in ("size", "percentiles", "window"):
            values[name] = None if values[name] is None else tuple(values[name])
        return cls(**values)


def resolve(config: Preprocess, manifest: pd.DataFrame, dims: int) -> Preprocessor:
    """Turn the settings into numbers.

    Args:
        config: The settings; ``auto`` is decided by the manifest.
        manifest: The size is decided by the accepted training scans, the channels by all accepted ones.
        dims: 2 or 3.

    Raises:
        SettingsError: A setting is out of range.
    """
    low, high = _pair("percentiles", config.percentiles)
    if not 0 <= low < high <= 100:
        raise SettingsError(
            f"preprocess.percentiles: expected 0 <= lower < upper <= 100, got {config.percentiles}."
        )
    window = None if config.window is None else _pair("window", config.window)
    if window is not None and not window[0] < window[1]:
        raise SettingsError(f"preprocess.window: expected lower < upper, got {config.window}.")
    accepted = manifest[manifest["status"] == OK]
    channels = config.channels
    if channels == "auto":
        channels = 3 if (accepted["channels"] == 3).mean() > 0.5 else 1
    return Preprocessor(
        size=_size(config.size, accepted, dims),
        channels=channels,
        aspect=config.aspect,
        intensity=config.intensity,
        percentiles=(low, high),
        window=window,
        dims=dims,
    )


def _pair(name: str, values: Sequence[float]) -> tuple[float, float]:
    if len(values) != 2:
        raise SettingsError(f"preprocess.{name}: expected two numbers, got {list(values)}.")
    return float(values[0]), float(values[1])


def _size(size: str | int | list[int], accepted: pd.DataFrame, dims: int) -> tuple[int, ...]:
    if isinstance(size, str):
        train = accepted.loc[accepted["split"] == "train", "shape"]
        shapes = np.array([list(shape) for shape in train])
        return (_auto_side(shapes),) * dims
    sides = (size,) * dims if isinstance(size, int) else tuple(size)
    if len(sides) != dims or min(sides) < 4:
        raise SettingsError(
            f"preprocess.size: expected a number or {dims} numbers, each at least 4, got {size}."
        )
    return sides


def _auto_side(shapes: npt.NDArray[np.int64]) -> int:
    """Side of the square or cube for scans of these ``(scan, axis)`` shapes."""
    if shapes.shape[1] == 3:
        longest = float(np.median(shapes, axis=0).max())
        return _round_up(longest, 8) if longest <= 64 else 64
    shorter = float(np.median(shapes.min(axis=1)))
    if shorter <= 64:
        return _round_up(shorter, 4)
    return 128 if shorter < 256 else 224


def _round_up(side: float, multiple: int) -> int:
    return int(np.ceil(side / multiple)) * multiple

"""The one way from a scan to a network's input: training and inference both call it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pandas as pd

from scanlens.config.schema import Preprocess
from scanlens.errors import ScanlensError, SettingsError, UnreadableScan
from scanlens.manifest.columns import OK
from scanlens.preprocess.crop import crop_box, small_shape, whole_frame
from scanlens.preprocess.geometry import Box, Placement, centre, fitting, resize
from scanlens.preprocess.intensity import IntensityRange, convert_channels, default, extremes, limits, rescale
from scanlens.preprocess.settings import (
    chosen_channels,
    chosen_size,
    grid_axes,
    grid_spacing,
)
from scanlens.preprocess.slices import middle, neighbours
from scanlens.preprocess.spacing import known, resampled
from scanlens.types import BoolArray, ImageArray, Scan

NO_MEMORY = "needs more memory than there is"


@dataclass(frozen=True)
class Preprocessor:
    """What happens to a scan, with every ``auto`` resolved but those that go by each scan's own kind.

    In this order: limits of the grey values (of the whole scan), crop, slices, clipping, resampling,
    rescaling, padding. Clipping comes before resampling, as the two don't commute where a bright edge is
    averaged with its surroundings; it is left out where nothing exceeds the limits. Rescaling is linear and
    does commute, so it is done last, on the few pixels that are left.

    Attributes:
        size: Pixels along each spatial axis of the result.
        channels: 1, 3, or one for each window and slice: window by window, in the order of depth.
        aspect: ``pad`` or ``stretch``: :func:`scanlens.preprocess.geometry.fitting`.
        intensity: ``auto``, ``window``, ``percentile``, ``minmax`` or ``zscore``:
            :func:`scanlens.preprocess.intensity.limits`.
        percentiles: Lower and upper, in [0, 100].
        windows: (lower, upper) in the scan's units (HU for CT), the same for every scan; None: ``intensity``
            decides.
        dims: 2 or 3, the scan's spatial axes.
        spacing: Millimetres a pixel along each axis of the result, or None: every scan is scaled to
            ``size``.
        crop: ``auto`` (by modality), ``none``, ``foreground`` or ``fan``.
        slices: Of a volume to keep as channels of an image, odd; 1: volumes stay volumes.
    """

    size: tuple[int, ...]
    channels: int
    aspect: str
    intensity: str
    percentiles: tuple[float, float]
    windows: tuple[IntensityRange, ...] | None
    dims: int
    spacing: tuple[float, ...] | None = None
    crop: str = "none"
    slices: int = 1

    @property
    def colour(self) -> bool:
        """Whether three channels are red, green and blue, not windows or slices."""
        return self.channels == 3 and not self._split

    @property
    def _split(self) -> bool:
        return self.slices > 1 or len(self.windows or ()) > 1

    def apply(self, scan: Scan, name: str = "scan") -> ImageArray:
        """Preprocess one scan.

        Args:
            scan: As decoded.
            name: How to name it in an error.

        Returns:
            float32 in [0, 1], ``(channels, *size)``.

        Raises:
            UnreadableScan: Its number of axes is another; it has no window, no spacing or several colours
                though the settings need it otherwise; its window or spacing is absurd; it has pixels that
                are no numbers, or too large for float32; or there is not the memory for it.
        """
        with _reasons(name):
            pixels, span, bounds = self._grey_values(scan)
            box = self._box(pixels, scan.modality, span, bounds)
            placement = self.placement(pixels.shape[1:], scan.spacing, box)
            pixels = pixels[(slice(None), *box)]
            if self.slices > 1:
                pixels = neighbours(pixels, self.slices)
            parts = [_normalised(pixels, placement.shape, span, window) for window in bounds]
            part = parts[0] if len(parts) == 1 else np.concatenate(parts)
            return convert_channels(placement.pad(part, self.size), self.channels)

    def crop_of(self, modality: str) -> str:
        """The crop that scans of a modality get; unless it is ``none``, a mask needs :meth:`locate`."""
        return default(modality).crop if self.crop == "auto" else self.crop

    def locate(self, scan: Scan, name: str = "scan") -> Box:
        """The part of a scan that :meth:`apply` keeps: one slice a spatial axis of the scan.

        Raises:
            UnreadableScan: As :meth:`apply`.
        """
        with _reasons(name):
            pixels, span, bounds = self._grey_values(scan)
            return self._box(pixels, scan.modality, span, bounds)

    def placement(
        self, spatial: Sequence[int], spacing: Sequence[float] | None = None, box: Box | None = None
    ) -> Placement:
        """Say where a scan lies within ``size``; the way back for maps and overlays.

        Args:
            spatial: The scan's pixels along each spatial axis.
            spacing: Its millimetres a pixel, or None.
            box: What :meth:`locate` found; None for all of the scan.

        Returns:
            Of the axes of the result: with ``slices`` above 1 the depth is gone.

        Raises:
            ValueError: ``self.spacing`` is set and the scan's is not known, or absurd.
        """
        box = whole_frame(spatial) if box is None else box
        found = known(spacing, len(spatial))
        if self.slices > 1:
            box, found = box[1:], found and found[1:]
        inner = [part.stop - part.start for part in box]
        if self.spacing is None:
            shape = fitting(inner, self.size, self.aspect, found)
        elif found is None:
            raise ValueError("no spacing: preprocess.spacing is set and the file says no millimetres a pixel")
        else:
            shape = resampled(inner, found, self.spacing)
        return centre(box, shape, self.size)

    def apply_mask(
        self,
        mask: BoolArray,
        spatial: Sequence[int],
        spacing: Sequence[float] | None = None,
        box: Box | None = None,
    ) -> BoolArray:
        """Bring a mask drawn on a scan onto the preprocessed grid.

        Args:
            mask: ``spatial``-shaped.
            spatial: The scan's pixels along each spatial axis.
            spacing: The scan's millimetres a pixel, or None: what ``apply`` found in the scan.
            box: What :meth:`locate` found in the scan; may be None where :meth:`crop_of` is ``none``.

        Returns:
            ``size``-shaped: places that the mask covers at least by half. Of a mask too small for that
            the places that it covers most remain. Of ``slices`` the middle one counts.

        Raises:
            ScanlensError: The mask's shape is another than the scan's.
        """
        if mask.shape != tuple(spatial):
            raise ScanlensError(
                f"a mask of shape {mask.shape} was given for a scan of shape {tuple(spatial)}.",
                "Draw masks on the scan's own pixels.",
            )
        placement = self.placement(spatial, spacing, box)
        part = mask if box is None else mask[box]
        if self.slices > 1:
            part = part[middle(len(part))]
        cover = placement.pad(resize(part[np.newaxis].astype(np.float32), placement.shape), self.size)[0]
        return (cover >= min(0.5, float(cover.max()))) & (cover > 0)

    def _grey_values(self, scan: Scan) -> tuple[ImageArray, IntensityRange, tuple[IntensityRange, ...]]:
        """The pixels in the channels to work on, their extremes, and the limits of each window.

        Raises:
            ValueError: As :meth:`apply`.
        """
        if scan.pixels.ndim != self.dims + 1:
            raise ValueError(f"dimensions: {scan.pixels.ndim - 1} spatial axes, but {self.dims} are expected")
        if len(scan.pixels) == 3 and len(self.windows or ()) > 1:
            raise ValueError("colour: several preprocess.windows are for scans of one channel")
        # Grey is repeated for three channels at the end, where it costs least.
        colour = self.colour and len(scan.pixels) == 3
        pixels = scan.pixels if colour else convert_channels(scan.pixels, 1)
        shown = pixels if scan.padding is None else pixels[:, ~scan.padding]
        span = extremes(shown)
        bounds = self.windows
        if bounds is None:
            grey = dataclasses.replace(scan, pixels=shown, padding=None)
            bounds = (limits(grey, self.intensity, self.percentiles, span),)
        if scan.padding is not None:
            # Clipped to 0 in every window.
            nothing = min(span[0], *(lower for lower, _ in bounds))
            pixels, span = np.where(scan.padding, np.float32(nothing), pixels), (nothing, span[1])
        return pixels, span, bounds

    def _box(
        self, pixels: ImageArray, modality: str, span: IntensityRange, bounds: tuple[IntensityRange, ...]
    ) -> Box:
        crop = self.crop_of(modality)
        spatial = pixels.shape[1:]
        if crop == "none":
            return whole_frame(spatial)
        # All windows show the same part.
        seen = min(lower for lower, _ in bounds), max(upper for _, upper in bounds)
        small = _normalised(convert_channels(pixels, 1), small_shape(spatial), span, seen)
        return crop_box(small, spatial, "fan" if crop == "fan" else "foreground")

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object; :meth:`from_json` makes the same preprocessor of it."""
        return {name: _listed(value) for name, value in dataclasses.asdict(self).items()}

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
        return cls(**{name: _frozen(value) for name, value in content.items()})


def resolve_preprocessor(config: Preprocess, manifest: pd.DataFrame, dims: int) -> Preprocessor:
    """Turn the settings into numbers.

    Args:
        config: The settings; ``auto`` is decided by the manifest.
        manifest: The size is decided by the accepted training scans, the channels by all accepted ones.
        dims: 2 or 3, the scans' spatial axes.

    Raises:
        SettingsError: There is to be a spacing, and none of the training scans says its own.
    """
    accepted = manifest[manifest["status"] == OK]
    axes = grid_axes(config, dims)
    spacing = grid_spacing(config, axes)
    return Preprocessor(
        size=chosen_size(config, accepted, axes, spacing),
        channels=chosen_channels(config, accepted),
        aspect=config.aspect,
        intensity=config.intensity,
        percentiles=(config.percentiles[0], config.percentiles[1]),
        windows=None if config.windows is None else tuple((low, high) for low, high in config.windows),
        dims=dims,
        spacing=spacing,
        crop=config.crop,
        slices=config.slices,
    )


@contextmanager
def _reasons(name: str) -> Iterator[None]:
    """Turn what is wrong with one scan into its reason, so that it costs no other scan."""
    try:
        yield
    except ValueError as error:
        raise UnreadableScan(name, str(error)) from error
    except MemoryError as error:
        raise UnreadableScan(name, NO_MEMORY) from error
    except cv2.error as error:
        if error.code != cv2.Error.StsNoMem:
            raise
        raise UnreadableScan(name, NO_MEMORY) from error


def _normalised(
    pixels: ImageArray, shape: Sequence[int], span: IntensityRange, window: IntensityRange
) -> ImageArray:
    """Clip to a window, resample and rescale to [0, 1]."""
    lower, upper = window
    if not lower <= span[0] <= span[1] <= upper:
        pixels = np.clip(pixels, np.float32(lower), np.float32(upper))
    small = resize(pixels, shape)
    # Sums of values near float32's end overflow where areas are averaged.
    extremes(small)
    # The last clip takes what interpolation leaves beyond [0, 1] by a rounding error.
    return rescale(small, lower, upper)


def _listed(value: Any) -> Any:
    return [_listed(item) for item in value] if isinstance(value, tuple) else value


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value

"""Suspicious regions: the connected parts of a probability map above a threshold, measured.

A region is what a map says, not the outline of a lesion: a map has few cells, and what is smaller than one
of them is interpolation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import ndimage

from scanlens.errors import SettingsError
from scanlens.maps.geometry import ScanGeometry
from scanlens.maps.probability import upsample
from scanlens.preprocess.geometry import Box
from scanlens.tasks import findings
from scanlens.types import FloatArray

REGION_COLUMNS: Mapping[str, str] = {
    "scan_id": "str",
    "predicted": "str",
    "label": "str",
    "number": "int64",
    "peak": "float64",
    "mean": "float64",
    "share": "float64",
    "pixels": "int64",
    "area_mm2": "float64",
    "volume_mm3": "float64",
    "peak_at": "object",
    "box_low": "object",
    "box_high": "object",
    "scan_peak_at": "object",
    "scan_box_low": "object",
    "scan_box_high": "object",
}
"""Columns of :func:`region_table` and their types; those of type object hold lists, one number an axis."""


@dataclass(frozen=True)
class Region:
    """One connected part of one class's map.

    Attributes:
        label: The class.
        peak: Greatest probability in it, at the middle of a pixel; a lone cell's own may be a little higher.
        mean: Mean probability in it.
        peak_at: Pixel of the store that has the greatest probability; of several the most central one.
        low: First pixel of its box along each axis of the store.
        high: The pixel after the last of its box.
        pixels: Pixels of the store in it.
        share: Of the scan that it covers, from 0 to 1; padding does not count.
        area_mm2: Of an image, where the spacing is known, else None.
        volume_mm3: Of a volume, where the spacing is known, else None.
    """

    label: str
    peak: float
    mean: float
    peak_at: tuple[int, ...]
    low: tuple[int, ...]
    high: tuple[int, ...]
    pixels: int
    share: float
    area_mm2: float | None
    volume_mm3: float | None


def suspicious_labels(labels: Sequence[str], chosen: Sequence[str] = ()) -> list[str]:
    """The classes whose maps are searched for regions.

    The class that is no finding has none: its map is high wherever nothing is seen, which is nearly
    everywhere, and a "region" of it would be marked on every healthy scan. Of all other classes, the grades
    above the lowest of an ordinal task among them, every one counts.

    Args:
        labels: All classes in order.
        chosen: The wanted ones. Empty: the :func:`scanlens.tasks.findings`.

    Raises:
        SettingsError: A chosen label is none of the classes.

    Example:
        >>> suspicious_labels(["effusion", "Normal", "nodule"])
        ['effusion', 'nodule']
        >>> suspicious_labels(["grade 0", "grade 1", "grade 2"]), suspicious_labels(["a", "b"], ["a"])
        (['grade 1', 'grade 2'], ['a'])
    """
    unknown = [label for label in chosen if label not in labels]
    if unknown:
        raise SettingsError(f"Regions are asked for of {unknown}.", f"Choose among {list(labels)}.")
    return [label for label in labels if label in (chosen or findings(labels))]


def suspicious_regions(
    values: FloatArray,
    threshold: float,
    label: str,
    *,
    spacing: Sequence[float] | None = None,
    inside: Box | None = None,
    least: int = 1,
) -> list[Region]:
    """Find the connected parts of a map at or above a threshold.

    Pixels that touch by an edge or a corner are connected, as two halves of one finding.

    Args:
        values: Probability map of one class at the store's size, ``(*spatial)``, in [0, 1].
        threshold: In probability units, in (0, 1].
        label: The class.
        spacing: Millimetres of a pixel of the *store* along each axis
            (:attr:`scanlens.maps.geometry.ScanGeometry.grid_spacing`), or None.
        inside: The part of the store that shows the scan; regions end there, as there is nothing to suspect
            in padding. None: all of it.
        least: Fewest pixels of a region.

    Returns:
        Highest peak first; of equal ones the largest, then the first in the array's order.

    Raises:
        SettingsError: The threshold is not in (0, 1], or ``least`` is below 1.
        ValueError: ``values`` is no image or volume.

    Example:
        >>> values = np.array([[0.95, 0.2, 0.1, 0.1], [0.1, 0.99, 0.1, 0.92]])
        >>> found = suspicious_regions(values, 0.9, "nodule", spacing=(0.5, 0.5))
        >>> [(region.peak, region.pixels, region.area_mm2) for region in found]  # corners connect
        [(0.99, 2, 0.5), (0.92, 1, 0.25)]
        >>> found[0].peak_at, found[0].low, found[0].high, found[0].share
        ((1, 1), (0, 0), (2, 2), 0.25)
    """
    if not 0 < threshold <= 1:
        raise SettingsError(f"The threshold of regions is a probability above 0 up to 1, got {threshold}.")
    if least < 1:
        raise SettingsError(f"The smallest region has at least 1 pixel, got {least}.")
    if values.ndim not in (2, 3):
        raise ValueError(f"expected a map of two or three axes, got shape {values.shape}")
    part = tuple(slice(0, side) for side in values.shape) if inside is None else inside
    start = np.array([side.start for side in part])
    shown = np.asarray(values[part])
    parts, _ = ndimage.label(shown >= threshold, ndimage.generate_binary_structure(shown.ndim, shown.ndim))
    unit = None if spacing is None else float(np.prod(spacing))
    found = []
    for number, box in enumerate(ndimage.find_objects(parts), start=1):
        mask = parts[box] == number
        pixels = int(mask.sum())
        if pixels < least:
            continue
        own = shown[box]
        low = start + [side.start for side in box]
        size = None if unit is None else pixels * unit
        found.append(
            Region(
                label=label,
                peak=float(own[mask].max()),
                mean=float(own[mask].mean(dtype=np.float64)),
                peak_at=tuple(int(at) for at in low + _peak(own, mask)),
                low=tuple(int(side) for side in low),
                high=tuple(int(side) for side in low + mask.shape),
                pixels=pixels,
                share=pixels / shown.size,
                area_mm2=size if shown.ndim == 2 else None,
                volume_mm3=size if shown.ndim == 3 else None,
            )
        )
    return sorted(found, key=_order)


def scan_regions(
    maps: FloatArray,
    labels: Sequence[str],
    probabilities: Sequence[float],
    geometry: ScanGeometry,
    *,
    threshold: float = 0.9,
    sought: Sequence[str] = (),
    least_probability: float = 0.1,
    least_cells: float = 0.25,
) -> list[Region]:
    """The suspicious regions of one scan, of all classes that come into question for it.

    A cell of a map speaks for itself alone: on most healthy scans some cell, by itself, looks like a
    finding, and only the mean over all cells shows that it is none. So a class is searched only where the
    whole scan's probability of it says that it comes into question.

    Args:
        maps: Probability maps ``(class, *grid)``.
        labels: All classes in order.
        probabilities: The scan's calibrated probability of each class.
        geometry: The scan's; in its padding there are no regions.
        threshold: As for :func:`suspicious_regions`.
        sought: As ``chosen`` of :func:`suspicious_labels`.
        least_probability: Of the whole scan, from which a class comes into question; 0: every class does.
        least_cells: Smallest region, in cells of the map: a smaller one is an interpolated tip.

    Returns:
        Highest peak first; of equal ones the largest.

    Raises:
        SettingsError: As :func:`suspicious_labels` and :func:`suspicious_regions`.

    Example:
        >>> from scanlens.preprocess.geometry import Placement
        >>> frame = (slice(0, 4), slice(0, 4))
        >>> geometry = ScanGeometry((4, 4), (4, 4), Placement(frame, (4, 4), frame, frame))
        >>> labels, nodule = ["normal", "nodule"], np.array([[0.95, 0.1], [0.1, 0.1]])
        >>> maps = np.stack([1 - nodule, nodule])
        >>> [(one.label, one.low, one.high) for one in scan_regions(maps, labels, [0.3, 0.7], geometry)]
        [('nodule', (0, 0), (1, 1))]
        >>> scan_regions(maps, labels, [0.95, 0.05], geometry)  # one cell alone: the whole scan is normal
        []
    """
    cell = math.prod(geometry.size) / math.prod(maps.shape[1:])
    wanted = set(suspicious_labels(labels, sought))
    found = []
    for label, probability, values in zip(labels, probabilities, maps, strict=True):
        if label in wanted and probability >= least_probability:
            found += suspicious_regions(
                upsample(values, geometry.size),
                threshold,
                label,
                spacing=geometry.grid_spacing,
                inside=geometry.inside,
                least=max(1, math.ceil(least_cells * cell)),
            )
    return sorted(found, key=_order)


def region_rows(
    scan_id: str, predicted: str, regions: Sequence[Region], geometry: ScanGeometry
) -> list[dict[str, object]]:
    """Rows of :func:`region_table` for one scan.

    Args:
        scan_id: The scan.
        predicted: Its predicted class.
        regions: Of all classes, in any order.
        geometry: For peak and box in the scan's own pixels.

    Example:
        >>> from scanlens.preprocess.geometry import Placement
        >>> frame, grid = (slice(0, 8), slice(0, 8)), (slice(0, 4), slice(0, 4))
        >>> halved = ScanGeometry((8, 8), (4, 4), Placement(frame, (4, 4), grid, grid))
        >>> region = Region("nodule", 0.97, 0.94, (1, 1), (0, 1), (2, 2), 2, 0.125, None, None)
        >>> (row,) = region_rows("a1", "nodule", [region], halved)
        >>> row["number"], row["box_low"], row["box_high"], row["scan_box_low"], row["scan_box_high"]
        (1, [0, 1], [2, 2], [0, 2], [4, 4])
    """
    rows = []
    for number, region in enumerate(sorted(regions, key=_order), start=1):
        scan_low, scan_high = geometry.box_in_scan(region.low, region.high)
        rows.append(
            {
                "scan_id": scan_id,
                "predicted": predicted,
                "label": region.label,
                "number": number,
                "peak": region.peak,
                "mean": region.mean,
                "share": region.share,
                "pixels": region.pixels,
                "area_mm2": region.area_mm2,
                "volume_mm3": region.volume_mm3,
                "peak_at": list(region.peak_at),
                "box_low": list(region.low),
                "box_high": list(region.high),
                "scan_peak_at": list(geometry.pixel_in_scan(region.peak_at)),
                "scan_box_low": list(scan_low),
                "scan_box_high": list(scan_high),
            }
        )
    return rows


def region_table(rows: Sequence[dict[str, object]]) -> pd.DataFrame:
    """One row per region, the scans in the order given.

    Columns: ``scan_id``, ``predicted``, ``label`` (the region's class), ``number`` (in the scan, from 1 by
    peak), ``peak``, ``mean``, ``share``, ``pixels``, ``area_mm2`` and ``volume_mm3`` (NaN where unknown or of
    the other kind of scan), ``peak_at``, ``box_low``, ``box_high`` (in pixels of the store, as
    :class:`Region` has them) and the same three as ``scan_…`` in the scan's own pixels.

    Example:
        >>> table = region_table([])  # scans without a region: the columns and their types stand
        >>> len(table), table["peak"].dtype.name, list(table)[:4]
        (0, 'float64', ['scan_id', 'predicted', 'label', 'number'])
    """
    table = pd.DataFrame(list(rows), columns=list(REGION_COLUMNS))
    return table.astype(dict(REGION_COLUMNS))


def _order(region: Region) -> tuple[float, int, tuple[int, ...]]:
    return -region.peak, -region.pixels, region.low


def _peak(values: FloatArray, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
    """Where the greatest value of a region is; of several places the one nearest to their middle."""
    tied = np.argwhere(mask & (values == values[mask].max()))
    nearest = np.square(tied - tied.mean(axis=0)).sum(axis=1).argmin()
    return tied[nearest]

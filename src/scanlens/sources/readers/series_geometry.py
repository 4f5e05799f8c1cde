"""From where each slice says it lies to one volume: order, spacing, gaps, copies and gantry tilt.

Positions are DICOM's: Image Position (Patient), the centre of the first pixel, and Image Orientation
(Patient), the directions of growing column and growing row, in LPS millimetres (PS3.3 C.7.6.2.1.1). They
alone order the slices and space them; slice thickness, slice location and instance number are not asked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from scipy import ndimage

from scanlens.errors import UnreadableScan
from scanlens.sources.readers.axes import LPS_TO_RAS, empty_volume
from scanlens.sources.readers.dicom_values import group_item, in_plane, numbers
from scanlens.types import FloatArray, ImageArray

DIRECTION = 1e-2
"""By how much the direction cosines of one volume's slices may differ, at most."""
_ROUNDING = 1e-3  # of direction cosines: they are stored with few digits
_SIDE = 1e-3  # share by which pixel spacings may differ
_SAME_PLACE = 0.01  # mm along the normal
_JITTER_MM, _JITTER_SHARE = 0.1, 0.01  # of a slice off its even place; the larger of the two holds...
_JITTER_MOST = 0.2  # ...up to this share of a step, so that thin slices are not out of order
_DRIFT = 0.5  # pixels of sideways drift over the whole stack that are no tilt
_DRIFT_DIGITS = 4  # of a shift in pixels: positions are stored with few digits
_MOST_SLICES = 1e6
_SHORTEST_RUN = 2  # steps of one length that are no accident...
_MOST_RUNS = 5  # ...where a stack has so few lengths
_STEP_DIGITS = 6  # of a step in mm


@dataclass(frozen=True)
class Plane:
    """Where one slice lies.

    Attributes:
        shape: Rows and columns.
        position: Centre of the first pixel, LPS mm.
        down: Unit vector of growing row.
        across: Unit vector of growing column.
        sides: mm from row to row and from column to column; None where unknown.
    """

    shape: tuple[int, int]
    position: npt.NDArray[np.float64]
    down: npt.NDArray[np.float64]
    across: npt.NDArray[np.float64]
    sides: tuple[float, float] | None


@dataclass(frozen=True)
class Stack:
    """How planes make a volume.

    Attributes:
        order: For each slice, along the normal, the numbers of the planes that lie there; several only
            where their pixels have yet to be found the same.
        shape: Slices, rows and columns of the volume, rows and columns enlarged where slices are shifted.
        affine: RAS+, from (slice, row, column) to mm.
        sides: mm along slice, row and column; None where the planes do not say.
        shifts: ``(slice, 2)``: rows and columns by which a slice is moved within the volume.
        wobble: The largest difference between the direction cosines of two slices.
    """

    order: tuple[tuple[int, ...], ...]
    shape: tuple[int, int, int]
    affine: FloatArray
    sides: tuple[float, float, float] | None
    shifts: FloatArray
    wobble: float

    @property
    def scan_affine(self) -> FloatArray | None:
        """RAS+, from (column, row, slice) as :class:`scanlens.types.Scan` has it; None without sides."""
        return self.affine[:, [2, 1, 0, 3]] if self.sides else None


def plane_of(dataset: Dataset, frame: int = 0) -> Plane | None:
    """Return where a frame lies, by its functional groups or else by the header's top; None where unknown.

    Directions that are not unit vectors at right angles count as unknown.
    """
    place = group_item(dataset, frame, "PlanePositionSequence") or dataset
    turn = group_item(dataset, frame, "PlaneOrientationSequence") or dataset
    measures = group_item(dataset, frame, "PixelMeasuresSequence") or dataset
    position, cosines = numbers(place, "ImagePositionPatient"), numbers(turn, "ImageOrientationPatient")
    if len(position) != 3 or len(cosines) != 6:
        return None
    across, down = np.array(cosines[:3]), np.array(cosines[3:])
    lengths = np.linalg.norm(across), np.linalg.norm(down)
    if max(abs(lengths[0] - 1), abs(lengths[1] - 1), abs(across @ down)) > 10 * _ROUNDING:
        return None
    sides = in_plane(measures)
    return Plane(
        shape=(int(dataset.Rows), int(dataset.Columns)),
        position=np.array(position),
        down=down / lengths[1],
        across=across / lengths[0],
        sides=(sides[0], sides[1]) if len(sides) == 2 and min(sides) > 0 else None,
    )


def stack(planes: Sequence[Plane], reference: str) -> Stack:
    """Sort planes along their normal and tell how they make a volume.

    Planes whose directions wobble (by less than :data:`DIRECTION`) are taken for parallel, along the mean.

    Raises:
        UnreadableScan: Planes of different shape, direction or pixel spacing; slices that are missing,
            unevenly spaced or shifted sideways irregularly; all of them at one place.
    """
    _refuse_mixed(planes, reference)
    first, wobble = _parallel(planes, reference)
    normal = np.cross(first.across, first.down)
    places = np.array([plane.position for plane in planes])
    depths = places @ normal
    order = _slices(depths, reference)
    leaders = [slice_[0] for slice_ in order]
    step = round(_step(depths[leaders], reference), _STEP_DIGITS)
    sides = first.sides or (1.0, 1.0)
    shifts = _shifts(places[leaders], first, sides, reference)
    low, high = np.floor(shifts.min(axis=0)), np.ceil(shifts.max(axis=0))
    rows, columns = (int(side + more) for side, more in zip(first.shape, high - low, strict=True))
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 2] = (
        normal * step,
        first.down * sides[0],
        first.across * sides[1],
    )
    affine[:3, 3] = places[leaders[0]] + affine[:3, 1:3] @ low
    return Stack(
        order=order,
        shape=(len(order), rows, columns),
        affine=LPS_TO_RAS @ affine,
        sides=(step, *sides) if first.sides else None,
        shifts=shifts - low,
        wobble=wobble,
    )


def assemble(
    made: Stack, pixels_of: Callable[[int], ImageArray], reference: str, max_pixels: int
) -> tuple[ImageArray, tuple[float, ...] | None]:
    """Fill the volume.

    A shifted slice (gantry tilt) is put where it belongs by linear interpolation, and what no slice covers
    is filled with the volume's smallest value, which is air in CT.

    Args:
        made: What :func:`stack` returned.
        pixels_of: Gives a plane's ``(row, column)`` pixels by its number; asked slice by slice.
        reference: The scan, for the reason.
        max_pixels: The most pixels of the volume.

    Returns:
        float32 ``(depth, height, width)`` in the axes of :mod:`scanlens.sources.readers.axes`, and its
        sides in mm.

    Raises:
        UnreadableScan: More than ``max_pixels``, or planes at one place with different pixels.
    """
    if math.prod(made.shape) > max_pixels:
        count, rows, columns = made.shape
        reason = f"too large: {count} x {rows} x {columns} pixels, more than the {max_pixels} allowed"
        raise UnreadableScan(reference, reason)
    _refuse_different_copies(made, pixels_of, reference)
    sides = made.sides or (1.0, 1.0, 1.0)
    volume, stored_order, turned_sides = empty_volume(made.shape, made.affine, sides, reference)
    for number, slice_ in enumerate(made.order):
        stored_order[number] = _moved(pixels_of(slice_[0]), made.shifts[number], made.shape[1:])
    if made.shifts.any():
        np.copyto(volume, np.nanmin(volume), where=np.isnan(volume))
    return volume, turned_sides if made.sides else None


def _refuse_mixed(planes: Sequence[Plane], reference: str) -> None:
    first = planes[0]
    for plane in planes[1:]:
        if plane.shape != first.shape:
            raise UnreadableScan(reference, "its slices differ in rows or columns")
        same = plane.sides == first.sides or (
            plane.sides and first.sides and np.allclose(plane.sides, first.sides, rtol=_SIDE, atol=0)
        )
        if not same:
            raise UnreadableScan(reference, "its slices differ in pixel spacing")


def _parallel(planes: Sequence[Plane], reference: str) -> tuple[Plane, float]:
    """Return the first plane, in the mean direction where they wobble by more than rounding, and how much."""
    cosines = np.array([(*plane.across, *plane.down) for plane in planes])
    wobble = float(np.ptp(cosines, axis=0).max())
    if wobble > DIRECTION:
        raise UnreadableScan(reference, "its slices differ in orientation")
    if wobble <= _ROUNDING:
        return planes[0], wobble
    across, down = cosines.mean(axis=0).reshape(2, 3)
    across /= np.linalg.norm(across)
    down -= (down @ across) * across
    return replace(planes[0], across=across, down=down / np.linalg.norm(down)), wobble


def _slices(depths: FloatArray, reference: str) -> tuple[tuple[int, ...], ...]:
    """Group the planes that lie at one place, in order of depth."""
    order = np.argsort(depths, kind="stable")
    steps = np.diff(depths[order])
    apart = steps[steps > _SAME_PLACE * 1e-3]
    if not apart.size:
        raise UnreadableScan(reference, f"slices at one position: all {len(depths)}")
    same = steps <= min(_SAME_PLACE, 0.05 * float(np.median(apart)))
    slices = np.split(order, np.flatnonzero(~same) + 1)
    return tuple(tuple(sorted(int(one) for one in slice_)) for slice_ in slices)


def _step(depths: FloatArray, reference: str) -> float:
    """Return the mm from slice to slice of an even stack; rounded positions count as even."""
    numbers_ = np.arange(len(depths), dtype=np.float64)
    step, off = _even(depths, numbers_)
    if off <= _tolerance(step):
        return step
    steps = np.diff(depths)
    if said := _runs(steps):
        raise UnreadableScan(reference, f"variable slice distance: {said}: resample it to one distance")
    base = float(np.sort(steps)[(len(steps) - 1) // 2])
    if steps.max() / base < _MOST_SLICES:
        numbers_ = np.concatenate([[0.0], np.cumsum(np.maximum(np.rint(steps / base), 1.0))])
        step, off = _even(depths, numbers_)
        missing = int(numbers_[-1]) + 1 - len(depths)
        if missing and off <= _tolerance(step):
            reason = f"gap: {missing} of its slices missing, {len(depths)} are here, {step:.4g} mm apart"
            raise UnreadableScan(reference, reason)
    raise UnreadableScan(
        reference, f"its slices are unevenly spaced, {steps.min():.4g} to {steps.max():.4g} mm apart"
    )


def _runs(steps: FloatArray) -> str:
    """Say which distances follow one another where each holds for several slices; empty where not.

    Slices that are missing leave single long steps; a distance that was changed during the acquisition stays.
    """
    changes = np.abs(np.diff(steps)) > 2 * _tolerance(float(steps.min()))
    runs = np.split(steps, np.flatnonzero(changes) + 1)
    if not 1 < len(runs) <= _MOST_RUNS or min(map(len, runs)) < _SHORTEST_RUN:
        return ""
    return ", then ".join(f"{len(run)} times {run.mean():.4g} mm" for run in runs)


def _even(depths: FloatArray, places: FloatArray) -> tuple[float, float]:
    """Return the step of the straight line nearest to the depths, and how far off it they lie at most."""
    step, start = np.polyfit(places, depths - depths[0], 1)
    return float(step), float(np.abs(depths - depths[0] - start - step * places).max())


def _tolerance(step: float) -> float:
    return min(max(_JITTER_MM, _JITTER_SHARE * step), _JITTER_MOST * step)


def _shifts(places: FloatArray, first: Plane, sides: tuple[float, float], reference: str) -> FloatArray:
    """Return the rows and columns by which each slice is shifted against the first one, zero if by none."""
    found = (places - places[0]) @ np.stack([first.down, first.across], axis=1) / np.array(sides)
    numbers_ = np.arange(len(places), dtype=np.float64)
    slopes, starts = np.polyfit(numbers_, found, 1)
    line = slopes * numbers_[:, None]
    if np.abs(found - starts - line).max() > _DRIFT:
        raise UnreadableScan(reference, "its slices are shifted sideways against one another")
    if np.abs(line[-1]).max() <= _DRIFT:
        return np.zeros_like(found)
    return np.round(line, _DRIFT_DIGITS)


def _moved(pixels: ImageArray, shift: FloatArray, shape: tuple[int, ...]) -> ImageArray:
    if not shift.any() and pixels.shape == shape:
        return pixels
    return ndimage.affine_transform(
        pixels, np.ones(2), offset=-shift, output_shape=shape, order=1, mode="constant", cval=np.nan
    )


def _refuse_different_copies(made: Stack, pixels_of: Callable[[int], ImageArray], reference: str) -> None:
    for slice_ in made.order:
        if len(slice_) == 1:
            continue
        kept = pixels_of(slice_[0])
        if any(not np.array_equal(kept, pixels_of(other)) for other in slice_[1:]):
            count = sum(len(one) for one in made.order)
            raise UnreadableScan(
                reference,
                f"several slices at one position ({count} slices, {len(made.order)} positions): a time "
                "series, several echoes or several acquisitions",
            )

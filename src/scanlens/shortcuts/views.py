"""What a network is shown: scans with a part hidden, so that only the rest can speak.

A region that the same for all scans hides is filled with the mean training scan: it is one picture for every
scan, so whatever a network still tells comes from what was left (the size of a lung does not shine through,
as it would through each scan's own mean). Exchanged corners are real ones, of another patient. Fong and
Vedaldi 2017, "Interpretable Explanations of Black Boxes by Meaningful Perturbation", discuss what to put in
the place of what is deleted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from scanlens.evaluation.intervals import patient_codes
from scanlens.preprocess.store import Store
from scanlens.shortcuts.marks import MarkBox, find_marks, patches, without_marks
from scanlens.shortcuts.regions import body, border, corners
from scanlens.types import BoolArray, FloatArray, ImageArray

BORDER_ONLY, CORNERS_MASKED, CORNERS_SWAPPED = "border_only", "corners_masked", "corners_swapped"
BACKGROUND_MASKED, FOREGROUND_MASKED = "background_masked", "foreground_masked"
MARKS_MASKED, MARKS_ONLY = "marks_masked", "marks_only"
VIEWS = (
    BORDER_ONLY,
    CORNERS_MASKED,
    CORNERS_SWAPPED,
    BACKGROUND_MASKED,
    FOREGROUND_MASKED,
    MARKS_MASKED,
    MARKS_ONLY,
)
"""Names of the views, in the order of pictures and reports."""

_MEAN_OF = 256
"""Training scans that the mean scan is taken over."""
_DARK = 0.02
"""Quantile of the mean scan that stands for the background."""
_SOFT = 0.015
"""Width of the soft seam around what is hidden, as a share of the longest side: a hard edge would be news."""


@dataclass(frozen=True)
class ScanParts:
    """The parts of one scan.

    Attributes:
        body: ``spatial``; None where nothing stands out.
        marks: Boxes of burned-in marks; none are looked for in volumes.
    """

    body: BoolArray | None
    marks: list[MarkBox]


def parts_of(image: ImageArray) -> ScanParts:
    """Find the body and the marks of a scan ``(channel, *spatial)`` in [0, 1]."""
    return ScanParts(body(image), find_marks(image) if image.ndim == 3 else [])


def mean_scan(store: Store, batch_size: int) -> ImageArray:
    """Mean of training scans, ``(channel, *spatial)``; of all scans where none is for training."""
    rows = store.rows("train")
    rows = rows if len(rows) else np.arange(len(store))
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _MEAN_OF)).astype(np.int64))]
    total = np.zeros(store.shape)
    for start in range(0, len(rows), batch_size):
        total += store.read(rows[start : start + batch_size]).sum(axis=0, dtype=np.float64)
    return (total / len(rows)).astype(np.float32)


def partners(patients: npt.NDArray[np.object_], seed: int) -> npt.NDArray[np.int64]:
    """For each scan one of another patient, whatever its class; every scan is one's partner about once.

    Args:
        patients: ``(scan,)``; "" is a patient of its own.
        seed: Of the draw.

    Returns:
        Positions ``(scan,)``; a scan's own where there is no other patient.
    """
    codes = patient_codes(patients)
    dealt = np.random.default_rng(seed).permutation(len(codes))
    for index in np.flatnonzero(codes[dealt] == codes):
        others = np.flatnonzero((codes != codes[index]) & (codes[dealt] != codes[index]))
        if len(others):
            # Two that change partners, and neither gets a scan of its own patient.
            dealt[[index, others[0]]] = dealt[[others[0], index]]
    return dealt


class Masker:
    """Hides parts of scans.

    Args:
        mean: The mean training scan, ``(channel, *spatial)``.
        width: Of the border, as :func:`scanlens.shortcuts.regions.border` takes it.
    """

    def __init__(self, mean: ImageArray, width: float) -> None:
        spatial = mean.shape[1:]
        self._mean = mean
        dark = np.quantile(mean.reshape(len(mean), -1), _DARK, axis=1).astype(np.float32)
        self._dark = np.broadcast_to(dark.reshape(-1, *[1] * len(spatial)), mean.shape)
        self.border = border(spatial, width)
        self.corners = corners(spatial)
        self._weights = {
            BORDER_ONLY: _softened(~self.border),
            CORNERS_MASKED: _softened(self.corners),
            CORNERS_SWAPPED: _softened(self.corners),
        }

    def view(self, name: str, image: ImageArray, parts: ScanParts, other: ImageArray) -> ImageArray:
        """One of :data:`VIEWS` of one scan.

        A scan without a body, or without a mark, is left as it is where that would be hidden, and is all
        hidden where only that would be kept.

        Args:
            name: Of the view.
            image: ``(channel, *spatial)`` in [0, 1].
            parts: Of the same scan.
            other: Another patient's scan, whose corners :data:`CORNERS_SWAPPED` shows instead.
        """
        spatial = image.shape[1:]
        if name in self._weights:
            return _filled(image, other if name == CORNERS_SWAPPED else self._mean, self._weights[name])
        if name in (BACKGROUND_MASKED, FOREGROUND_MASKED):
            inside = np.ones(spatial, bool) if parts.body is None else parts.body
            if name == BACKGROUND_MASKED:
                return _filled(image, self._dark, _softened(~inside))
            return _filled(image, self._mean, _softened(inside))
        if len(spatial) == 3:
            return image if name == MARKS_MASKED else self._mean
        hidden = patches(parts.marks, (spatial[0], spatial[1]))
        if name == MARKS_MASKED:
            return without_marks(image, hidden) if hidden.any() else image
        return _filled(image, self._mean, _softened(~hidden))


def coarse_parts(parts: Sequence[ScanParts], spatial: Sequence[int]) -> tuple[BoolArray, BoolArray]:
    """What is outside of each body and where marks lie, ``(scan, *spatial)`` each; all body where none is."""
    outside = np.zeros((len(parts), *spatial), bool)
    marks = np.zeros_like(outside)
    for index, one in enumerate(parts):
        if one.body is not None:
            outside[index] = ~one.body
        for box in one.marks:
            marks[(index, *box)] = True
    return outside, marks


def _softened(hidden: BoolArray) -> npt.NDArray[np.float32]:
    """1 on what is hidden, falling to 0 beside it."""
    width = max(1.0, _SOFT * max(hidden.shape))
    if not hidden.any():
        return np.zeros(hidden.shape, np.float32)
    away = ndimage.distance_transform_edt(~hidden)
    return np.clip(1 - away / (width + 1), 0, 1).astype(np.float32)


def _filled(image: ImageArray, filling: FloatArray, weight: npt.NDArray[np.float32]) -> ImageArray:
    return np.asarray(image * (1 - weight) + filling * weight, dtype=np.float32)

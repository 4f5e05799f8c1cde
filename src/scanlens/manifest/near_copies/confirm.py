"""Are two scans the same picture? Align one with the other, then compare what is left.

Radiographs of different patients correlate by 0.8 to 0.9 as they are: all chests are alike in the large. What
tells them apart is fine structure, and that is only comparable once the pictures lie on each other. So the
candidate's crop is refined to an affine map that maximises the enhanced correlation coefficient, both
pictures are stripped of coarse structure and of differences in local contrast, and pixels that are saturated
or background in either are left out; the correlation of the rest is what ``near_correlation`` is held to.

References:
    G. D. Evangelidis, E. Z. Psarakis, Parametric Image Alignment Using Enhanced Correlation Coefficient
    Maximization, IEEE TPAMI 30(10), 2008 (``cv2.findTransformECC``).
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from scanlens.manifest.near_copies.candidates import Candidate
from scanlens.manifest.near_copies.descriptors import SPANS, WINDOWS, Floats
from scanlens.manifest.near_copies.thumbnails import SIDE

Warp = npt.NDArray[np.float32]
"""``(2, 3)``: where a pixel (x, y, 1) of the copy lies in the scan."""

_COARSE = 4.0 / SIDE
"""Structures larger than about so much of the side (a Gaussian's sigma) are removed."""
_FINE = 1.0 / SIDE
"""Structures smaller than so much are smoothed away: recompression changes them."""
_LEVELLING = 1.5 * _COARSE
_CONTRAST_FLOOR = 0.3
_LIKENESS = 0.9
"""Aligned copies correlate more than this even before anything is removed."""
_EXTENTS = (0.66, 1.12)
_SHEAR = 0.15
_FLAT_SHARE = 0.02
_SMALLEST = 0.04
"""Part of the picture that has to be comparable."""


def start_of(candidate: Candidate, side: int) -> Warp:
    """The map that a candidate's window stands for, for pictures of ``side`` pixels.

    Example:
        >>> whole = WINDOWS.index((0, 0))
        >>> start_of(Candidate(0, 1, whole, lay=0, negative=False, distance=1.0), side=64).tolist()
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    """
    rows, columns = WINDOWS[candidate.window]
    (top, height), (left, width) = SPANS[rows], SPANS[columns]
    # Pixel centres lie at half-integers of the unit that spans are parts of.
    return np.array(
        [
            [width, 0, left * side + (width - 1) / 2],
            [0, height, top * side + (height - 1) / 2],
        ],
        np.float32,
    )


def enlarged(warp: Warp, factor: float) -> Warp:
    """The same map for pictures ``factor`` times as large.

    Example:
        >>> moved_by_one = np.array([[1, 0, 1], [0, 1, 0]], np.float32)
        >>> enlarged(moved_by_one, 2).tolist()
        [[1.0, 0.0, 2.0], [0.0, 1.0, 0.0]]
    """
    shift = warp[:, 2] * factor + (1 - warp[:, :2].sum(axis=1)) / 2 * (factor - 1)
    return np.column_stack([warp[:, :2], shift]).astype(np.float32)


def align(scan: Floats, copy: Floats, start: Warp, *, iterations: int, smoothing: int) -> Warp | None:
    """Refine a map from ``copy`` into ``scan``.

    Args:
        scan: ``(side, side)``, equalised.
        copy: ``(side, side)``, equalised and laid like ``scan``.
        start: Where to begin.
        iterations: At most so many.
        smoothing: Pixels (odd) of the Gaussian that both are smoothed with.

    Returns:
        The map, or None where there is none, or none that a crop, a stretch or a slight turn explains.

    Example:
        >>> noise = np.random.default_rng(0).random((64, 64), np.float32) - 0.5
        >>> scan = np.asarray(cv2.GaussianBlur(noise, (0, 0), 3))
        >>> start = np.array([[1, 0, 1], [0, 1, 0]], np.float32)  # one pixel off
        >>> found = align(scan, scan, start, iterations=30, smoothing=5)
        >>> np.allclose(found, np.eye(2, 3), atol=0.01)
        True
        >>> align(scan, noise[::-1], start, iterations=30, smoothing=5) is None  # not the same picture
        True
    """
    stop = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, iterations, 1e-4)
    mask = np.full(scan.shape, 255, np.uint8)
    try:
        likeness, found = cv2.findTransformECC(
            copy, scan, start.copy(), cv2.MOTION_AFFINE, stop, mask, smoothing
        )
    except cv2.error:  # the two do not converge on each other, or are flat: not copies
        return None
    warp = np.asarray(found, np.float32)
    extents = np.diag(warp[:, :2])
    usable = (
        likeness > _LIKENESS
        and (extents > _EXTENTS[0]).all()
        and (extents < _EXTENTS[1]).all()
        and abs(warp[0, 1]) < _SHEAR
        and abs(warp[1, 0]) < _SHEAR
    )
    return warp if usable else None


def agreement(scan: Floats, copy: Floats, warp: Warp) -> float:
    """Correlation of two aligned pictures' fine structure, in [-1, 1].

    Args:
        scan: ``(side, side)``, equalised.
        copy: ``(side, side)``, equalised and laid like ``scan``.
        warp: From ``copy`` into ``scan``.

    Returns:
        The correlation over the pixels that can be compared; 0 where they are too few.

    Example:
        >>> scan = np.random.default_rng(0).random((64, 64), np.float32) - 0.5
        >>> unmoved = np.eye(2, 3, dtype=np.float32)
        >>> round(agreement(scan, scan, unmoved), 3), round(agreement(scan, -scan, unmoved), 3)
        (1.0, -1.0)
    """
    size = scan.shape
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = np.asarray(cv2.warpAffine(scan, warp, size, flags=flags), np.float32)
    textured = np.asarray(cv2.warpAffine(_textured(scan), warp, size, flags=flags))
    inside = (textured > 0.999) & (_textured(copy) > 0.999)
    valid = inside.astype(np.float32)
    if inside.mean() < _SMALLEST:
        return 0.0
    first, second = _structure(moved, valid)[inside], _structure(copy, valid)[inside]
    first, second = first - first.mean(), second - second.mean()
    scale = float(np.sqrt((first * first).sum() * (second * second).sum()))
    return float((first * second).sum()) / scale if scale > 0 else 0.0


def _textured(image: Floats) -> Floats:
    """1 where a picture shows something; 0 in and beside its large areas of lowest or highest value."""
    shown = np.ones(image.shape, np.uint8)
    for extreme in (image.min(), image.max()):
        flat = image == extreme
        if flat.mean() > _FLAT_SHARE:
            shown[flat] = 0
    return np.asarray(cv2.erode(shown, np.ones((3, 3), np.uint8), borderValue=1), np.float32)


def _structure(image: Floats, valid: Floats) -> Floats:
    """Band-pass the valid pixels and level their local contrast."""
    side = len(image)
    coarse, fine, area = _COARSE * side, _FINE * side, _LEVELLING * side
    band = _mean(image, valid, fine) - _mean(image, valid, coarse)
    contrast = np.sqrt(np.maximum(_mean(band * band, valid, area), 0))
    floor = _CONTRAST_FLOOR * float(band[valid > 0].std())
    return np.asarray(band / (contrast + floor + np.float32(1e-6)), np.float32)


def _mean(image: Floats, valid: Floats, sigma: float) -> Floats:
    """Gaussian mean over valid pixels alone."""
    blur = cv2.BORDER_CONSTANT
    weight = np.asarray(cv2.GaussianBlur(valid, (0, 0), sigma, borderType=blur))
    total = np.asarray(cv2.GaussianBlur(image * valid, (0, 0), sigma, borderType=blur))
    return np.asarray(total / np.maximum(weight, np.float32(1e-6)), np.float32)

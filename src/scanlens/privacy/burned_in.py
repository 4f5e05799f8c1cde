"""A pixel test for burned-in text: names, dates and measurements that an overlay left in the image itself.

Text is drawn at (nearly) the brightest or darkest value the image has. Above such a level its characters are
separate spots of one height on one line, close together, on another ground and with an empty rim; ribs,
vessels, noise and grid lines are not. The same idea, connected components grouped into lines, is behind most
text detectors made before neural networks (e.g. B. Epshtein, E. Ofek, Y. Wexler, Detecting Text in Natural
Scenes with Stroke Width Transform, CVPR 2010).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from scanlens.types import ImageArray

_LONGEST_SIDE = 1024  # larger pictures are reduced: their text is drawn larger too
_SHORT_SIDE = 320  # below it characters run together unless the picture is enlarged first
_LEVELS = (
    24,
    64,
    112,
)  # how far below the brightest value, of 255, a character may lie: compression, smoothing
_LOWEST = 6  # pixels a small letter is high at least
_LARGEST_SHARE = 6  # and at most this part of the picture
_MOST = 400  # spots that are compared with one another; more are texture
_EASY, _FEW = 15, 45  # levels by which most of the ground lies below a line of six and more, and of fewer
_LONG_LINE = 6
_RIM_FILLED = 0.12
_HIDDEN = 0.3  # share of a line's box that is ground for certain

_Picture = npt.NDArray[np.uint8]
Spots = npt.NDArray[np.float64]


class _Line(NamedTuple):
    """Spots in a row: ``(spot,)`` left, top, width and height in pixels."""

    x: Spots
    y: Spots
    width: Spots
    height: Spots


def has_text(pixels: ImageArray) -> bool:
    """Say whether an image shows a line of text, black or white, anywhere.

    It flags, and proves nothing either way. Found are upright lines of about four characters and more that
    are at least ten pixels high (after reduction to at most 1024 pixels a side), in any alphabet whose
    letters stand apart. Not found: single letters such as side markers, text that is rotated by more than a
    few degrees, joined handwriting, text as bright as its ground, and text in half-tones. Rulers and test
    patterns may be taken for text. Of a volume the first, the middle and the last slice are looked at.

    Args:
        pixels: float32, ``(channel, [depth,] height, width)``, any range, finite.
    """
    return any(_shows_text(picture) for picture in _pictures(pixels))


def _pictures(pixels: ImageArray) -> Iterator[_Picture]:
    """Yield each slice to look at twice: as it is and inverted. Coloured text is bright in some channel."""
    slices = pixels[:, None] if pixels.ndim == 3 else pixels
    depth = slices.shape[1]
    for place in sorted({0, depth // 2, depth - 1}):
        channels = slices[:, place]
        for plane in (channels.max(axis=0), -channels.min(axis=0)):
            lowest, highest = float(plane.min()), float(plane.max())
            if highest > lowest:
                yield _resized(cv2.convertScaleAbs(plane - lowest, alpha=255 / (highest - lowest)))


def _resized(picture: npt.NDArray[Any]) -> _Picture:
    height, width = picture.shape
    factor = min(1.0, _LONGEST_SIDE / max(height, width))
    if factor < 1:
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    elif max(height, width) <= _SHORT_SIDE:
        picture = cv2.resize(picture, (2 * width, 2 * height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(picture, dtype=np.uint8)


def _shows_text(picture: _Picture) -> bool:
    for depth in _LEVELS:
        level = 255 - depth
        spots = _spots(picture, level)
        if spots is not None and any(_is_text(line, picture, level) for line in _lines(spots)):
            return True
    return False


def _spots(picture: _Picture, level: int) -> _Line | None:
    """Find what may be characters: spots of the size and shape of letters above a level, left to right."""
    mask = cv2.threshold(picture, level - 1, 1, cv2.THRESH_BINARY)[1]
    # Outlines of spots, some of them inside others; several times faster than labelling every pixel.
    outlines, hierarchy = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    if len(outlines) < 3:
        return None
    holes = hierarchy[0, :, 3] >= 0
    boxes = [cv2.boundingRect(one) for one, hole in zip(outlines, holes, strict=True) if not hole]
    x, y, width, height = np.array(boxes, dtype=np.int64).T
    rows, columns = picture.shape
    likely = (
        (height >= _LOWEST)
        & (height * _LARGEST_SHARE <= rows)
        & (width <= 3.5 * height)  # small letters run together
        & (height <= 8 * width)
        & (x > 0)
        & (y > 0)
        & (x + width < columns)
        & (y + height < rows)
    )
    chosen = np.flatnonzero(likely)[:_MOST]
    inside = [cv2.countNonZero(mask[y[i] : y[i] + height[i], x[i] : x[i] + width[i]]) for i in chosen]
    filled = np.array(inside) / (width[chosen] * height[chosen])
    # A full block is no letter, but I, l or 1.
    chosen = chosen[(filled > 0.12) & ((filled < 0.85) | (width[chosen] < 0.45 * height[chosen]))]
    if len(chosen) < 3:
        return None
    chosen = chosen[np.argsort(x[chosen], kind="stable")]
    return _Line(*(column[chosen].astype(np.float64) for column in (x, y, width, height)))


def _lines(spots: _Line) -> Iterator[_Line]:
    """Chain each spot to the nearest one on its right that stands on the same line."""
    right, bottom = spots.x + spots.width, spots.y + spots.height
    lower = np.minimum(spots.height[:, None], spots.height)
    higher = np.maximum(spots.height[:, None], spots.height)
    tolerance = np.maximum(1.0, 0.12 * higher)
    uneven = np.abs(bottom[:, None] - bottom)
    # On one baseline, or of one height below one line: letters with a descender, commas.
    level_tops = (np.abs(spots.y[:, None] - spots.y) <= tolerance) & (higher <= 1.35 * lower)
    gap = spots.x - right[:, None]
    linked = (
        ((uneven <= tolerance) | level_tops)
        & (higher <= 1.5 * lower + 1)
        & (gap <= 1.1 * higher)
        & (gap >= -0.15 * higher)
    )
    distance = np.where(np.triu(linked, 1), gap + uneven, np.inf)
    following = np.where(np.isfinite(distance.min(axis=1)), distance.argmin(axis=1), -1)
    for first in sorted(set(range(len(following))) - set(following.tolist())):
        chain = [first]
        while following[chain[-1]] >= 0:
            chain.append(int(following[chain[-1]]))
        yield _Line(*(column[chain] for column in spots))


def _is_text(line: _Line, picture: _Picture, level: int) -> bool:
    """Tell a line of text from spots that lie in a row by chance: the fewer, the stricter."""
    characters = np.maximum(1, np.round(line.width / (0.8 * line.height))).sum()
    if len(line.x) < 3 or characters < 4:
        return False
    short = len(line.x) < _LONG_LINE
    if short and not _regular(line):
        return False
    left, top = int(line.x.min()), int(line.y.min())
    right, bottom = int((line.x + line.width).max()), int((line.y + line.height).max())
    margin = max(2, round(0.2 * (bottom - top)))
    above, beside = max(0, top - margin), max(0, left - margin)
    box = picture[above : bottom + margin, beside : right + margin]
    if np.quantile(box, _HIDDEN) > level - (_FEW if short else _EASY):
        return False
    rim = [picture[above : max(1, top - 1), left:right], picture[bottom + 1 : bottom + margin, left:right]]
    return _share_above(rim, level) <= _RIM_FILLED


def _regular(line: _Line) -> bool:
    gaps = line.x[1:] - (line.x + line.width)[:-1]
    return bool(line.height.max() <= 1.6 * line.height.min() and gaps.max() <= 0.6 * line.height.max())


def _share_above(regions: list[_Picture], level: int) -> float:
    values = np.concatenate([region.ravel() for region in regions])
    return float((values >= level).mean()) if values.size else 0.0

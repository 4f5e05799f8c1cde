"""Burned-in marks: side letters, arrows, lines of text, small bright things that are no anatomy.

A mark is brighter than its ground, sharp, small and stands by itself: a top-hat leaves what is smaller than
its window (Serra, "Image Analysis and Mathematical Morphology", 1982), joined strokes above a level are one
spot, and a spot with an empty rim is a mark. The middle of the scan is left out, where lesions and bones look
alike. :func:`scanlens.privacy.burned_in.has_text` flags whole lines in full-size scans; here single letters
at the network's own resolution count, with their place.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from scanlens.types import BoolArray, FloatArray, ImageArray

LEAST_SIDE = 64
"""Pixels of the longest side below which letters are not to be told from noise."""
_PATCH = 0.16
"""Side of the patch that hides a mark, as a share of the longest side: one size for all marks, so that the
patch does not give the mark's size away."""
_LEVELS = (0.45, 0.33, 0.24, 0.17)
"""Heights above the ground, in [0, 1] intensity, at which spots are looked for, the clearest first."""
_WINDOW = 0.15
_LARGEST, _LINE_HEIGHT, _LINE_WIDTH = 0.15, 0.1, 0.6
"""Most of a letter's sides, and of a line of text, as shares of the longest side."""
_JOINED, _RIM = 0.012, 0.02
"""Gap between strokes that are one mark, and width of the rim that must be empty, as such shares."""
_MIDDLE = 0.5
"""Squared radius, in half sides, of the middle that is left out."""
_SHARPNESS = 0.5
"""Share of a mark's height that neighbouring pixels must differ by somewhere."""
_RIM_FILLED, _RIM_BRIGHT = 0.12, 0.15
_FEWEST = 4

MarkBox = tuple[slice, slice]


def find_marks(image: ImageArray) -> list[MarkBox]:
    """Boxes of the burned-in marks of an image.

    On the built-in phantoms at 128 pixels it finds about 85 % of the side markers. Not found: marks darker
    than their ground, in the middle of the scan, or grown together with a bright body.

    Args:
        image: In [0, 1], ``(channel, height, width)``; ``height`` or ``width`` at least
            :data:`LEAST_SIDE`, else nothing is found.

    Returns:
        ``(rows, columns)`` of each mark's box, without overlap of one another.
    """
    picture = np.ascontiguousarray(image.max(axis=0), dtype=np.float32)
    side = max(picture.shape)
    if side < LEAST_SIDE:
        return []
    window = 2 * max(2, round(_WINDOW * side / 2)) + 1
    opened = cv2.morphologyEx(
        picture, cv2.MORPH_OPEN, np.ones((window, window), np.uint8), borderType=cv2.BORDER_REPLICATE
    )
    height = picture - np.asarray(opened, np.float32)
    slope = np.asarray(cv2.morphologyEx(picture, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)), np.float32)
    taken = np.zeros(picture.shape, bool)
    found = []
    for level in _LEVELS:
        for box, part in _spots(height > level, side):
            if not taken[box].any() and _is_mark(picture, height, slope, box, part):
                taken[box] = True
                found.append(box)
    return found


def patches(boxes: list[MarkBox], spatial: tuple[int, int]) -> BoolArray:
    """The marks' boxes, each enlarged to :data:`_PATCH` around its middle; ``spatial``."""
    hidden = np.zeros(spatial, bool)
    least = round(_PATCH * max(spatial))
    for box in boxes:
        rows, columns = (
            _widened(part, max(0, least - (part.stop - part.start)), side)
            for part, side in zip(box, spatial, strict=True)
        )
        hidden[rows, columns] = True
    return hidden


def without_marks(image: ImageArray, hidden: BoolArray) -> ImageArray:
    """Continue the surroundings into the hidden patches (Bertalmio et al. 2001, Navier-Stokes inpainting)."""
    mask = hidden.astype(np.uint8)
    planes = [cv2.inpaint(np.ascontiguousarray(plane), mask, 3, cv2.INPAINT_NS) for plane in image]
    return np.clip(np.stack(planes), 0, 1)


def _spots(bright: BoolArray, side: int) -> Iterator[tuple[MarkBox, BoolArray]]:
    """Boxes of joined strokes that have the size of a letter or a line of text, and their pixels."""
    joined = ndimage.binary_dilation(bright, iterations=max(1, round(_JOINED * side)))
    parts, _ = ndimage.label(joined, np.ones((3, 3)))
    for number, box in enumerate(ndimage.find_objects(parts), start=1):
        rows, columns = box
        tall, wide = rows.stop - rows.start, columns.stop - columns.start
        down = (rows.start + rows.stop) / bright.shape[0] - 1
        across = (columns.start + columns.stop) / bright.shape[1] - 1
        edge = rows.start == 0 or rows.stop == bright.shape[0]
        line = wide <= _LINE_WIDTH * side and tall <= _LINE_HEIGHT * side and not edge
        small = tall <= _LARGEST * side and (wide <= _LARGEST * side or line)
        if small and down**2 + across**2 >= _MIDDLE:
            part = (parts[box] == number) & bright[box]
            if part.sum() >= _FEWEST:
                yield (rows, columns), part


def _is_mark(
    picture: FloatArray, height: FloatArray, slope: FloatArray, box: MarkBox, part: BoolArray
) -> bool:
    """Whether a spot is sharp and its rim empty."""
    peak, top = float(height[box][part].max()), float(picture[box][part].max())
    if slope[box].max() < _SHARPNESS * peak:
        return False
    margin = max(2, round(_RIM * max(picture.shape)))
    outer = tuple(_widened(one, 2 * margin, side) for one, side in zip(box, picture.shape, strict=True))
    rim = np.ones([one.stop - one.start for one in outer], bool)
    rim[tuple(slice(i.start - o.start, i.stop - o.start) for i, o in zip(box, outer, strict=True))] = False
    filled: npt.NDArray[np.bool_] = height[outer][rim] >= peak / 2
    bright: npt.NDArray[np.bool_] = picture[outer][rim] >= top - peak / 3
    return bool(filled.mean() <= _RIM_FILLED and bright.mean() <= _RIM_BRIGHT)


def _widened(part: slice, by: int, side: int) -> slice:
    """A slice longer by so many pixels, half at either end, within the picture."""
    before = by // 2
    return slice(max(part.start - before, 0), min(part.stop + by - before, side))

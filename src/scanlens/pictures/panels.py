"""Pictures of views: maps over their scan, contact sheets of channels, and legends that say their scale.

Full colour means a fixed value only where the unit has bounds (probabilities) or where one was asked for.
Else it goes by the scan's own values: then the legend says so, and pictures of two scans must not be compared
by colour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from scanlens.pictures.diverging import blend_diverging
from scanlens.pictures.lettering import Font, lettered
from scanlens.pictures.overlays import BACKDROP, COLOURS, OUTLINE, as_grey, blend, make_picture
from scanlens.types import FloatArray, ImageArray

Pixels = npt.NDArray[np.uint8]
LINE = 18
"""Pixels of a line of text."""
LEAST_WIDTH = 300
"""Of a panel: narrower ones are filled up, for the legend's sake."""
BAR = 72
"""Pixels of a legend's colour bar."""
GAP = 4
"""Pixels between panels and tiles."""
FIXED = "same for all scans"
LARGEST = "this scan's largest"
FEW_BEYOND = "99.5 % of its pixels"
"""Single pixels vary wildly: one in two hundred may lie beyond full colour."""
SHARES = {LARGEST: 1.0, FEW_BEYOND: 0.995}


@dataclass(frozen=True)
class Scale:
    """What colours mean.

    Attributes:
        reach: Value of full colour, > 0.
        signed: Blue from ``-reach`` by clear to red at ``reach``; else from clear at 0.
        unit: Of the values.
        note: Whose scale it is: :data:`FIXED`, :data:`LARGEST` or :data:`FEW_BEYOND`.
        centre: Value of the middle of a signed scale.
        solid: Colours hide what lies below: there is nothing.
    """

    reach: float
    signed: bool
    unit: str
    note: str
    centre: float = 0.0
    solid: bool = False

    @property
    def ends(self) -> tuple[float, float]:
        """Values at the two ends of the colour bar."""
        return (self.centre - self.reach if self.signed else 0.0), self.centre + self.reach

    def share(self, values: FloatArray) -> FloatArray:
        """Values on the colour bar: 0 at its left end, 1 at its right."""
        low, high = self.ends
        return np.clip((np.asarray(values, np.float32) - low) / (high - low), 0, 1)

    def paint(self, grey: Pixels, indices: Pixels) -> Pixels:
        """RGB of colours (indices 0 to 255 along the bar) over ``grey (height, width)``."""
        if self.signed:
            return blend_diverging(np.full_like(grey, 255) if self.solid else grey, indices)
        return COLOURS[indices] if self.solid else blend(grey, indices)


def scale_of(
    values: FloatArray, unit: str, fixed: float | None = None, note: str = LARGEST, solid: bool = False
) -> Scale:
    """The scale of a scan's maps: signed where a value is below 0.

    Args:
        values: All maps of the scan that are drawn side by side: they share a scale.
        unit: Of the values.
        fixed: Value of full colour for all scans; None for one by the values here.
        note: Which one then: :data:`LARGEST` or :data:`FEW_BEYOND`.
        solid: See :class:`Scale`.
    """
    signed = bool((values < 0).any())
    if fixed is not None:
        return Scale(fixed, signed, unit, FIXED, solid=solid)
    # A map of zeros has no largest value; any scale shows it clear.
    reach = float(np.quantile(np.abs(values), SHARES[note])) or float(np.abs(values).max()) or 1.0
    return Scale(reach, signed, unit, note, solid=solid)


def panel(
    image: ImageArray,
    values: FloatArray,
    scale: Scale,
    title: str,
    side: int,
    boxes: Sequence[tuple[slice, ...]] = (),
) -> Pixels:
    """One map over its scan, RGB ``(height, width, 3)``.

    Args:
        image: The preprocessed scan in [0, 1], 1 or 3 channels, ``(channel, [depth,] height, width)``. Of a
            volume the slice is shown that has the value farthest from clear.
        values: ``grid``.
        scale: What colours mean.
        title: First line of the legend; the slice is added.
        side: Longest side of the scan in pixels.
        boxes: Cells to outline, in the scan's pixels; of a volume where they meet the slice.
    """
    share = scale.share(values)
    strength = 2 * np.abs(share - 0.5) if scale.signed else share
    picture = make_picture(image, share, None, side, focus=strength)
    body = scale.paint(as_grey(picture.scan), picture.indices)
    zoom = body.shape[0] / image.shape[-2], body.shape[1] / image.shape[-1]
    for box in boxes:
        if picture.slice is None or box[0].start <= picture.slice < box[0].stop:
            _outline(body, box[-2:], zoom)
    if picture.slice is not None:
        title += f", slice {picture.slice + 1}/{image.shape[1]}"
    return _with_foot(body, title, scale)


def row(panels: Sequence[Pixels]) -> Pixels:
    """Panels of one height side by side."""
    gap = np.zeros((panels[0].shape[0], GAP, 3), np.uint8)
    parts = [part for one in panels for part in (one, gap)]
    return np.hstack(parts[:-1])


def sheet(tiles: Sequence[Pixels], captions: Sequence[str], title: str, scale: Scale | None) -> Pixels:
    """Tiles of one shape in rows, each over its caption, RGB.

    Args:
        tiles: ``(height, width, 3)`` each.
        captions: One a tile.
        title: First line of the legend.
        scale: What colours mean; None where the tiles are grey intensities in [0, 1].
    """
    height, width = tiles[0].shape[:2]
    columns = max(1, round((len(tiles) * (height + LINE) / width) ** 0.5))
    rows = -(-len(tiles) // columns)
    canvas = np.zeros((rows * (height + LINE + GAP), columns * (width + GAP) - GAP, 3), np.uint8)
    for number, tile in enumerate(tiles):
        top, left = number // columns * (height + LINE + GAP), number % columns * (width + GAP)
        canvas[top : top + height, left : left + width] = tile
    drawn = Image.fromarray(canvas)
    pen = ImageDraw.Draw(drawn)
    for number, caption in enumerate(captions):
        top, left = number // columns * (height + LINE + GAP), number % columns * (width + GAP)
        text, font = _fitting(caption, 10, width)
        pen.text((left + 1, top + height + LINE // 2), text, fill=(190, 190, 190), font=font, anchor="lm")
    return _with_foot(np.asarray(drawn), title, scale)


def tile(pixels: Pixels, side: int) -> Pixels:
    """Grey ``(height, width)`` or RGB pixels brought to a longest side; enlarged, pixels are rectangles."""
    zoom = side / max(pixels.shape[:2])
    size = tuple(max(1, round(length * zoom)) for length in pixels.shape[1::-1])
    resized = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if zoom < 1 else cv2.INTER_NEAREST)
    return np.asarray(cv2.cvtColor(resized, cv2.COLOR_GRAY2RGB) if resized.ndim == 2 else resized, np.uint8)


def png(pixels: Pixels) -> bytes:
    """PNG of RGB pixels."""
    return cv2.imencode(".png", pixels[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 3])[1].tobytes()


def _outline(body: Pixels, box: tuple[slice, ...], zoom: tuple[float, float]) -> None:
    (top, bottom), (left, right) = (
        (round(part.start * factor), round(part.stop * factor) - 1)
        for part, factor in zip(box, zoom, strict=True)
    )
    cv2.rectangle(body, (left, top), (right, bottom), OUTLINE, 1)


def _with_foot(body: Pixels, title: str, scale: Scale | None) -> Pixels:
    """The body, filled up to the least width, over two lines: the title, and what colours mean."""
    width = max(LEAST_WIDTH, body.shape[1])
    body = np.pad(body, ((0, 0), (0, width - body.shape[1]), (0, 0)))
    foot = np.zeros((2 * LINE + 4, width, 3), np.uint8)
    low, high = ("0", "1") if scale is None else (f"{end:.3g}" for end in scale.ends)
    low, font = lettered(low, 11)
    left = 4 + int(font.getlength(low)) + 4
    ramp = np.linspace(0, 255, BAR).astype(np.uint8)[None].repeat(8, 0)
    if scale is None:
        colours = ramp[..., None].repeat(3, 2)
    else:
        colours = scale.paint(np.full_like(ramp, BACKDROP), ramp)
    foot[LINE + 7 : LINE + 15, left : left + BAR] = colours
    drawn = Image.fromarray(foot)
    pen, first, second = ImageDraw.Draw(drawn), LINE // 2 + 2, LINE + LINE // 2 + 2
    pen.text((4, second), low, fill="white", font=font, anchor="lm")
    title, font = _fitting(title, 11, width - 8)
    pen.text((4, first), title, fill="white", font=font, anchor="lm")
    meaning = "intensity" if scale is None else f"{scale.unit}; {scale.note}"
    room = width - left - BAR - 8
    text, font = _fitting(f"{high}  {meaning}", 11, room)
    pen.text((left + BAR + 4, second), text, fill="white", font=font, anchor="lm")
    return np.vstack([body, np.asarray(drawn)])


def _fitting(text: str, size: int, room: float) -> tuple[str, Font]:
    """The text on one line, cut where it does not fit, and its font."""
    text, font = lettered(" ".join(text.split()), size)
    while text and font.getlength(text) > room:
        text = text[:-1]
    return text, font

"""The legend of all overlays of a run: the fixed colour scale, and how much of a scan one cell sees.

It is drawn at the scale of the overlays, so that its squares can be laid beside them: what is smaller than
the square of one cell is interpolation, and what a cell of the last feature map says may come from anywhere
in the field it sees. Where evidence walked back from it (:mod:`scanlens.models.refine`) it lies near that
field's middle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from scanlens.pictures.overlays import TICKS, blend, size_within

LEGEND_GREYS = (10, 96, 200)
"""Greys under the colour bar, one band each: air, tissue, bone. The scale is seen through, never alone."""
CELL, SEEN, BUILT = (255, 255, 255), (90, 200, 255), (130, 140, 150)
"""RGB of the border of one cell, of the field it sees in effect, and of the field by construction."""
_GROUND, _TEXT, _QUIET, _LINE = (10, 12, 15), (231, 234, 238), (154, 164, 176), (44, 50, 58)
_MARGIN, _BAND, _ROW = 14, 14, 18
_LEAST_WIDTH = 300
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Legend:
    """What the legend says. Lengths are pixels of the store, the last two axes ``(height, width)``.

    Attributes:
        size: Of a scan in the store, pixels along each axis.
        grid: Cells of a map along each axis.
        effective: Side of the field that one cell sees in effect
            (:func:`scanlens.models.receptive_field.effective`).
        theoretical: Side of its field by construction; None where that has no end.
        threshold: Probability from which a part of a map is a suspicious region; None where none are sought.
        side: Longest side of an overlay in its own pixels.
    """

    size: Sequence[int]
    grid: Sequence[int]
    effective: float
    theoretical: int | None
    threshold: float | None
    side: int

    @property
    def picture(self) -> tuple[int, int]:
        """``(height, width)`` of an overlay in its own pixels, without what stands below it."""
        height, width = self.size[-2:]
        return size_within((height, width), self.side)

    @property
    def cell(self) -> tuple[float, float]:
        """``(height, width)`` of one cell, in pixels of an overlay."""
        height, width = (side / cells for side, cells in zip(self.picture, self.grid[-2:], strict=True))
        return height, width

    def on_picture(self, field: float) -> tuple[float, float]:
        """``(height, width)`` of a field of that many of the store's pixels, in pixels of an overlay."""
        height, width = (field * shown / own for shown, own in zip(self.picture, self.size[-2:], strict=True))
        return height, width

    def notes(self) -> list[tuple[str, Colour]]:
        """What is written below, line by line, with the colour of the border that each line is about."""
        own = " x ".join(str(side) for side in self.size)
        cell = " x ".join(f"{side / cells:.3g}" for side, cells in zip(self.size, self.grid, strict=True))
        built = "all of a scan of any size" if self.theoretical is None else f"{self.theoretical} pixels wide"
        return [
            (f"one cell of the map: {cell} of a scan's {own} pixels", CELL),
            (f"what it sees in effect: {self.effective:.0f} pixels wide", SEEN),
            (f"what it can see by construction: {built}", BUILT),
            ("Between the middles of cells a map is interpolated.", _QUIET),
        ]


def legend_png(legend: Legend) -> bytes:
    """Draw the legend.

    Returns:
        PNG: the colour scale over :data:`LEGEND_GREYS` with its ticks, below it an empty overlay's frame with
        the grid of cells, one cell in the middle and the fields around it, and :meth:`Legend.notes`.
    """
    notes = legend.notes()
    height, width = legend.picture
    font = ImageFont.load_default(11)
    longest = max(font.getlength(text) for text, _ in notes)
    inner = max(_LEAST_WIDTH, width, int(longest) + 2 * _ROW)
    top = _MARGIN + _ROW + len(LEGEND_GREYS) * _BAND + (2 if legend.threshold is None else 3) * _ROW
    frame = top + _ROW
    total = frame + height + _MARGIN + len(notes) * _ROW + _MARGIN
    canvas = Image.new("RGB", (inner + 2 * _MARGIN, total), _GROUND)
    canvas.paste(Image.fromarray(_bar(inner)), (_MARGIN, _MARGIN + _ROW))
    draw = ImageDraw.Draw(canvas)
    draw.text((_MARGIN, _MARGIN), "probability, the same scale on every picture", _TEXT, font)
    _ticks(draw, font, legend.threshold, inner)
    draw.text((_MARGIN, top), "what one cell of a map sees, at the size of the pictures", _TEXT, font)
    canvas.paste(_frame(legend), (_MARGIN, frame))
    for number, (text, colour) in enumerate(notes):
        y = frame + height + _MARGIN + number * _ROW
        if colour != _QUIET:
            draw.rectangle([_MARGIN, y + 2, _MARGIN + 9, y + 11], outline=colour, width=2)
        draw.text((_MARGIN + _ROW, y), text, _TEXT if colour != _QUIET else _QUIET, font)
    _, data = cv2.imencode(".png", np.asarray(canvas)[..., ::-1])
    return data.tobytes()


def _bar(width: int) -> npt.NDArray[np.uint8]:
    """The scale from 0 to 1 over each grey, ``(bands, width, 3)``."""
    ramp = np.broadcast_to(np.rint(np.linspace(0, 255, width)).astype(np.uint8), (_BAND, width))
    return np.vstack([blend(np.full_like(ramp, grey), np.ascontiguousarray(ramp)) for grey in LEGEND_GREYS])


def _ticks(
    draw: ImageDraw.ImageDraw,
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
    threshold: float | None,
    width: int,
) -> None:
    first, last = _MARGIN + _ROW, _MARGIN + _ROW + len(LEGEND_GREYS) * _BAND
    for tick in TICKS:
        x = _MARGIN + round(tick * (width - 1))
        draw.line([(x, last), (x, last + 3)], _TEXT)
        anchor = "la" if tick == TICKS[0] else "ra" if tick == TICKS[-1] else "ma"
        draw.text((x, last + 4), f"{tick:g}", _TEXT, font, anchor=anchor)
    if threshold is not None:
        x = _MARGIN + round(threshold * (width - 1))
        draw.line([(x, first - 2), (x, last + _ROW + 2)], CELL)
        left = threshold > 0.5
        words = f"regions from {threshold:g} on"
        draw.text((x - 4 if left else x + 4, last + _ROW), words, _TEXT, font, anchor="ra" if left else "la")


def _frame(legend: Legend) -> Image.Image:
    """An empty overlay with the borders of its cells, of one of them, and of its fields."""
    height, width = legend.picture
    canvas = Image.new("RGB", (width, height), (18, 21, 25))
    draw = ImageDraw.Draw(canvas)
    rows, columns = legend.grid[-2:]
    for row in range(rows + 1):
        y = min(round(row * legend.cell[0]), height - 1)
        draw.line([(0, y), (width, y)], _LINE)
    for column in range(columns + 1):
        x = min(round(column * legend.cell[1]), width - 1)
        draw.line([(x, 0), (x, height)], _LINE)
    middle = (rows // 2 + 0.5) * legend.cell[0], (columns // 2 + 0.5) * legend.cell[1]
    if legend.theoretical is not None:
        _outline(draw, middle, legend.on_picture(legend.theoretical), BUILT)
    _outline(draw, middle, legend.on_picture(legend.effective), SEEN)
    _outline(draw, middle, legend.cell, CELL)
    return canvas


def _outline(
    draw: ImageDraw.ImageDraw, middle: tuple[float, float], sides: tuple[float, float], colour: Colour
) -> None:
    """A border around a middle ``(y, x)``, at least a pixel; what is beyond the frame is cut off."""
    top, left = (round(at - side / 2) for at, side in zip(middle, sides, strict=True))
    low, right = (round(at + side / 2) - 1 for at, side in zip(middle, sides, strict=True))
    draw.rectangle([left, top, max(left, right), max(top, low)], outline=colour, width=2)

"""Pictures of a scan and its probability map. One colour scale, in probability units, for every image.

Colour and opacity are both fixed functions of the probability: 0 is clear, 1 is yellow at
:data:`MAX_ALPHA`. Nothing depends on the image at hand, so pictures of two patients can be compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from scanlens.maps.probability import upsample
from scanlens.pictures.lettering import lettered
from scanlens.types import FloatArray, ImageArray

MAX_ALPHA = 0.65
"""Opacity of the colour at probability 1; at 0 the scan is untouched."""
COLOURS: npt.NDArray[np.uint8] = np.asarray(
    cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_PLASMA)[:, 0, ::-1], np.uint8
)
"""RGB of probability ``i / 255``, ``(256, 3)``: plasma, lighter with every step, nowhere grey or green."""
ALPHAS: npt.NDArray[np.float32] = np.linspace(0, MAX_ALPHA, 256, dtype=np.float32)
"""Opacity of probability ``i / 255``, ``(256,)``."""
OUTLINE = (90, 255, 200)
"""RGB of the lesion outline: green, which the colour scale has not."""
LEGEND_HEIGHT = 48
"""Pixels under an overlay that hold one cell's width, its caption and the colour bar."""
BACKDROP = 96
"""Grey behind the colour bar, as of a mid-bright tissue."""
TICKS = (0, 0.25, 0.5, 0.75, 1)
"""Probabilities that every colour bar names."""
# Half the time of OpenCV's usual filter at the same size: overlays must not be slower than maps.
_PNG = [
    *(cv2.IMWRITE_PNG_COMPRESSION, 1),
    *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP),
    *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE),
]
_BAR = 28, 35
"""Rows of the legend that hold the colour bar."""


@dataclass(frozen=True)
class Picture:
    """One scan and one map, ready to draw: for a volume, one slice of it.

    Attributes:
        scan: uint8 ``(height, width)`` or RGB ``(height, width, 3)``.
        indices: Palette indices round(255 p) of the map, uint8 ``(height, width)``.
        outline: True on the lesion's border, ``(height, width)``; None where there is no lesion to see.
        slice: Index of the slice along depth; None for an image.
        cells: Cells of the map along its width.
    """

    scan: npt.NDArray[np.uint8]
    indices: npt.NDArray[np.uint8]
    outline: npt.NDArray[np.bool_] | None
    slice: int | None
    cells: int


def make_picture(
    image: ImageArray,
    values: FloatArray,
    mask: npt.NDArray[np.bool_] | None,
    side: int,
    focus: FloatArray | None = None,
) -> Picture:
    """Bring a scan, its map and its lesion mask to one size.

    Args:
        image: The preprocessed scan in [0, 1], ``(channel, [depth,] height, width)``.
        values: Its map, ``grid``, in [0, 1].
        mask: Lesion mask ``([depth,] height, width)``, or None.
        side: Longest side of the picture in pixels.
        focus: Chooses the slice of a volume: the one with its greatest value (the middle one of several).
            ``values`` where it is None.
    """
    chosen = None
    if image.ndim == 4:
        depth = image.shape[1]
        focus = values if focus is None else focus
        chosen = _greatest_slice(upsample(focus, (depth, *focus.shape[1:])))
        values = upsample(values, (depth, *values.shape[1:]))[chosen]
        image = image[:, chosen]
        mask = None if mask is None else mask[chosen]
    height, width = size_within(image.shape[1:], side)
    scan = scan_pixels(image, height, width)
    return Picture(
        scan, enlarged_picture(values, height, width), _border(mask, height, width), chosen, values.shape[-1]
    )


def size_within(shape: tuple[int, ...], side: int) -> tuple[int, int]:
    """``(height, width)`` of the shape ``(height, width)`` brought to a longest side of ``side``."""
    scale = side / max(shape)
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def scan_pixels(image: ImageArray, height: int, width: int) -> npt.NDArray[np.uint8]:
    """uint8 ``(height, width[, 3])`` of an image in [0, 1], ``(channel, *any size)``."""
    pixels = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)
    if pixels.shape[:2] != (height, width):
        filtering = cv2.INTER_AREA if height < pixels.shape[0] else cv2.INTER_LINEAR
        resized = cv2.resize(np.ascontiguousarray(pixels), (width, height), interpolation=filtering)
        return np.asarray(resized, np.uint8)
    return np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def enlarged_picture(values: FloatArray, height: int, width: int) -> npt.NDArray[np.uint8]:
    """Palette indices ``(height, width)`` of a map ``(rows, columns)``, linear between its cells."""
    # OpenCV's linear filter has the half-pixel coordinates and the edge rule of maps.upsample.
    large = cv2.resize(np.asarray(values, np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return to_indices(np.asarray(large))


def to_indices(values: FloatArray) -> npt.NDArray[np.uint8]:
    """Probabilities as uint8 palette indices, round(255 p)."""
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)


def scan_png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """PNG of a scan alone, grey ``(height, width)`` or RGB."""
    return _encode(pixels if pixels.ndim == 2 else pixels[..., ::-1])


def overlay_png(picture: Picture, caption: str) -> bytes:
    """The map over the grey scan, the lesion's outline, and a legend below.

    Args:
        picture: The scan and its map.
        caption: Text above the colour bar; cut where it does not fit.
    """
    body = blend(as_grey(picture.scan), picture.indices)
    if picture.outline is not None:
        body[picture.outline] = OUTLINE
    pixels = np.vstack([body, _legend(body.shape[1], caption, picture.cells)])
    return _encode(np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), np.uint8))


def as_grey(scan: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """A scan without its colours, ``(height, width)``: the map's are the only ones over it."""
    return scan if scan.ndim == 2 else np.asarray(cv2.cvtColor(scan, cv2.COLOR_RGB2GRAY), np.uint8)


def blend(grey: npt.NDArray[np.uint8], indices: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """RGB ``(height, width, 3)`` of the colour scale laid over ``grey (height, width)``."""
    at = (indices.astype(np.uint16) << 8) | grey
    channels = [np.take(table, at) for table in _tables()]
    return np.asarray(cv2.merge(channels), np.uint8)


@cache
def _tables() -> tuple[npt.NDArray[np.uint8], ...]:
    """Red, green and blue of every probability over every grey, at ``256 * index + grey``, ``(65536,)``."""
    grey = np.arange(256, dtype=np.float32)[None, :, None]
    alpha = ALPHAS[:, None, None]
    mixed = np.rint(grey * (1 - alpha) + COLOURS[:, None] * alpha).astype(np.uint8)
    return tuple(np.ascontiguousarray(mixed[..., channel].ravel()) for channel in range(3))


def _greatest_slice(values: FloatArray) -> int:
    """The slice of ``(depth, height, width)`` that holds the greatest value; the middle one of a tie."""
    peaks = values.max(axis=(1, 2))
    tied = np.flatnonzero(np.isclose(peaks, peaks.max(), rtol=1e-6, atol=0))
    return int(tied[len(tied) // 2])


def _border(mask: npt.NDArray[np.bool_] | None, height: int, width: int) -> npt.NDArray[np.bool_] | None:
    if mask is None or not mask.any():
        return None
    resized = cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    contours, _ = cv2.findContours(resized, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(np.zeros_like(resized), contours, -1, 1, thickness=1).astype(bool)


def _legend(width: int, caption: str, cells: int) -> npt.NDArray[np.uint8]:
    """RGB strip ``(LEGEND_HEIGHT, width, 3)``: the width of one cell, the caption, the colour bar."""
    canvas = Image.fromarray(_scale(width, cells))
    draw = ImageDraw.Draw(canvas)
    text, font = lettered(" ".join(caption.split()), 11)
    while text and draw.textlength(text, font) > width - 8:
        text = text[:-1]
    draw.text((4, 19), text, fill="white", font=font, anchor="lm")
    return np.asarray(canvas)


@cache
def _scale(width: int, cells: int) -> npt.NDArray[np.uint8]:
    """The legend without its caption, the same for every picture of one size."""
    strip = np.zeros((LEGEND_HEIGHT, width, 3), np.uint8)
    cell = max(1, round(width / cells))
    strip[6, :cell] = strip[3:10, 0] = strip[3:10, cell - 1] = 220
    inner = max(1, width - 20)
    ramp = np.linspace(0, 255, inner).astype(np.uint8)[None]
    left = (width - inner) // 2
    strip[slice(*_BAR), left : left + inner] = blend(np.full_like(ramp, BACKDROP), ramp)
    canvas = Image.fromarray(strip)
    draw = ImageDraw.Draw(canvas)
    note, font = lettered("one cell of the map", 9)
    if cell + 5 + draw.textlength(note, font) < width:
        draw.text((cell + 5, 6), note, fill=(190, 190, 190), font=font, anchor="lm")
    for tick in TICKS if width >= 120 else (0, 1):
        x = left + round(tick * (inner - 1))
        draw.line([(x, _BAR[0] - 1), (x, _BAR[1] + 1)], fill="white")
        draw.text((x, 41), f"{tick:g}", fill="white", font=font, anchor="mm")
    return np.asarray(canvas)


def _encode(pixels: npt.NDArray[np.uint8]) -> bytes:
    """PNG bytes of grey or BGR pixels."""
    _, data = cv2.imencode(".png", pixels, _PNG)
    return data.tobytes()

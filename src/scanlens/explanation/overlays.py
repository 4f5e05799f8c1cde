"""Pictures of a scan and its probability map. One colour scale, in probability units, for every image.

Colour and opacity are both fixed functions of the probability: 0 is clear, 1 is yellow at
:data:`MAX_ALPHA`. Nothing depends on the image at hand, so pictures of two patients can be compared.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from scanlens.explanation.maps import upsample
from scanlens.types import FloatArray, ImageArray

MAX_ALPHA = 0.75
"""Opacity of the colour at probability 1; at 0 the scan is untouched."""
COLOURS: npt.NDArray[np.uint8] = np.asarray(
    cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_PLASMA)[:, 0, ::-1], np.uint8
)
"""RGB of probability ``i / 255``, ``(256, 3)``: plasma, which holds no grey and no green."""
ALPHAS: npt.NDArray[np.float32] = np.linspace(0, MAX_ALPHA, 256, dtype=np.float32)
"""Opacity of probability ``i / 255``, ``(256,)``."""
OUTLINE = (90, 255, 200)
"""RGB of the lesion outline: green, which the colour scale has not."""
LEGEND_HEIGHT = 24
"""Pixels under an overlay that hold its caption and colour bar."""
_BACKDROP = 96
"""Grey behind the colour bar, as of a mid-bright tissue."""
_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1]


@dataclass(frozen=True)
class Picture:
    """One scan, ready to draw: for a volume, one slice of it.

    Attributes:
        scan: uint8 ``(height, width)`` or RGB ``(height, width, 3)``.
        maps: Palette indices round(255 p) of every class's map, uint8 ``(class, height, width)``.
        outline: True on the lesion's border, ``(height, width)``; None where there is no lesion to see.
        slice: Index of the slice along depth; None for an image.
    """

    scan: npt.NDArray[np.uint8]
    maps: npt.NDArray[np.uint8]
    outline: npt.NDArray[np.bool_] | None
    slice: int | None


def make_picture(
    image: ImageArray, maps: FloatArray, mask: npt.NDArray[np.bool_] | None, focus: int, side: int
) -> Picture:
    """Bring a scan, its maps and its lesion mask to one size.

    Args:
        image: The preprocessed scan in [0, 1], ``(channel, [depth,] height, width)``.
        maps: Its probability maps ``(class, *grid)`` in [0, 1].
        mask: Lesion mask ``([depth,] height, width)``, or None.
        focus: Class whose map chooses the slice of a volume: the slice with its greatest value (the
            middle one of several).
        side: Longest side of the picture in pixels.
    """
    chosen = None
    if image.ndim == 4:
        maps = upsample(maps, (image.shape[1], *maps.shape[2:]))
        chosen = _greatest_slice(maps[focus])
        image, maps = image[:, chosen], maps[:, chosen]
        mask = None if mask is None else mask[chosen]
    scale = side / max(image.shape[1:])
    height, width = (max(1, round(length * scale)) for length in image.shape[1:])
    filtering = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    scan = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)
    scan = np.asarray(cv2.resize(scan, (width, height), interpolation=filtering), np.uint8)
    indices = np.rint(np.clip(upsample(maps, (height, width)), 0, 1) * 255).astype(np.uint8)
    return Picture(scan, indices, _border(mask, height, width), chosen)


def scan_png(picture: Picture) -> bytes:
    """The scan alone."""
    return _encode(picture.scan if picture.scan.ndim == 2 else picture.scan[..., ::-1])


def maps_png(picture: Picture) -> bytes:
    """The maps of all classes one under another, with the colour scale's own transparency.

    Returns:
        PNG of ``(class * height, width)`` palette indices; index ``i`` is probability ``i / 255``, so the
        numbers can be read back from the picture.
    """
    classes, height, width = picture.maps.shape
    strip = Image.fromarray(picture.maps.reshape(classes * height, width)).convert("L")
    strip.putpalette(COLOURS.tobytes())
    stream = io.BytesIO()
    strip.save(stream, "PNG", transparency=np.rint(ALPHAS * 255).astype(np.uint8).tobytes(), compress_level=3)
    return stream.getvalue()


def outline_png(picture: Picture) -> bytes | None:
    """The lesion's border on a clear ground, or None where there is no lesion to see."""
    if picture.outline is None:
        return None
    pixels = np.zeros((*picture.outline.shape, 4), np.uint8)
    pixels[picture.outline] = (*OUTLINE[::-1], 255)
    return _encode(pixels)


def overlay_png(picture: Picture, index: int, caption: str) -> bytes:
    """One class's map over the grey scan, the lesion's outline, and a legend below.

    Args:
        picture: The scan and its maps.
        index: Class whose map is shown.
        caption: Text beside the colour bar; cut where it does not fit.
    """
    grey = picture.scan if picture.scan.ndim == 2 else cv2.cvtColor(picture.scan, cv2.COLOR_RGB2GRAY)
    body = blend(np.asarray(grey, np.uint8), picture.maps[index])
    if picture.outline is not None:
        body[picture.outline] = OUTLINE
    return _encode(np.vstack([body, _legend(body.shape[1], caption)])[..., ::-1])


def blend(grey: npt.NDArray[np.uint8], indices: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """RGB ``(height, width, 3)`` of the colour scale laid over ``grey (height, width)``."""
    alpha = ALPHAS[indices][..., None]
    return np.rint(grey[..., None] * (1 - alpha) + COLOURS[indices] * alpha).astype(np.uint8)


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


def _legend(width: int, caption: str) -> npt.NDArray[np.uint8]:
    """RGB strip ``(LEGEND_HEIGHT, width, 3)``: caption on the left, colour bar from 0 to 1 on the right."""
    bar = max(8, int(width * 0.3))
    strip = np.zeros((LEGEND_HEIGHT, width, 3), np.uint8)
    ramp = np.linspace(0, 255, bar).astype(np.uint8)[None]
    left = max(0, width - bar - 14)
    strip[8:-8, left : left + bar] = blend(np.full_like(ramp, _BACKDROP), ramp)[:, : width - left]
    canvas = Image.fromarray(strip)
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(11)
    text = " ".join(caption.split())
    while text and draw.textlength(text, font) > left - 18:
        text = text[:-1]
    middle = LEGEND_HEIGHT // 2
    draw.text((4, middle), text, fill="white", font=font, anchor="lm")
    draw.text((left - 3, middle), "0", fill="white", font=font, anchor="rm")
    draw.text((left + bar + 3, middle), "1", fill="white", font=font, anchor="lm")
    return np.asarray(canvas)


def _encode(pixels: npt.NDArray[np.uint8]) -> bytes:
    """PNG bytes of grey, BGR or BGRA pixels."""
    _, data = cv2.imencode(".png", pixels, _PNG)
    return data.tobytes()

"""Pictures of where a predicted number comes from, on one colour scale for every image.

The value that a cell argues for is what the network would say if all of the scan looked like it; the mean
over the cells is the prediction. It is shown against the mean of the training labels: blue below, red above,
clear at the mean, full colour from :data:`REACH_OF_SCALE` standard deviations on. Nothing depends on the
image at hand.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from scanlens.pictures.lettering import lettered
from scanlens.pictures.overlays import MAX_ALPHA, OUTLINE, Picture, as_grey, make_picture
from scanlens.types import FloatArray, ImageArray

REACH_OF_SCALE = 3.0
"""Standard deviations of the training labels between the middle and either end of the scale."""
LOW, HIGH = (33, 102, 172), (214, 48, 39)
"""RGB of the scale's ends: blue and red, told apart by colour-blind readers."""
SCALE_HEIGHT = 24
"""Pixels under a picture that hold its caption and the colour bar."""


def scaled(values: FloatArray, centre: float, spread: float) -> FloatArray:
    """Values on the scale: 0 is :data:`REACH_OF_SCALE` deviations below the mean, 0.5 it, 1 as far above.

    Args:
        values: Of any shape, in the label's unit.
        centre: Mean of the training labels.
        spread: Their standard deviation, > 0.
    """
    return np.clip(0.5 + (np.asarray(values) - centre) / (2 * REACH_OF_SCALE * spread), 0, 1)


def number_picture(
    image: ImageArray,
    values: FloatArray,
    mask: npt.NDArray[np.bool_] | None,
    centre: float,
    spread: float,
    side: int,
) -> Picture:
    """Bring a scan and its map to one size; of a volume the slice that argues farthest from the mean.

    Args:
        image: The preprocessed scan in [0, 1], ``(channel, [depth,] height, width)``.
        values: Each cell argues for, ``grid``, in the label's unit.
        mask: Lesion mask ``([depth,] height, width)``, or None.
        centre: Mean of the training labels.
        spread: Their standard deviation.
        side: Longest side of the picture in pixels.
    """
    on_scale = scaled(values, centre, spread)
    return make_picture(image, on_scale, mask, side, focus=np.abs(on_scale - 0.5))


def number_png(picture: Picture, caption: str, centre: float, spread: float) -> bytes:
    """The map over the grey scan, and a legend below.

    Args:
        picture: As :func:`number_picture` gives it.
        caption: On the left of the legend; cut where it does not fit.
        centre: Mean of the training labels.
        spread: Their standard deviation.
    """
    body = blend_diverging(as_grey(picture.scan), picture.indices)
    if picture.outline is not None:
        body[picture.outline] = OUTLINE
    ends = f"{centre - REACH_OF_SCALE * spread:.3g}", f"{centre + REACH_OF_SCALE * spread:.3g}"
    pixels = np.vstack([body, _legend(body.shape[1], caption, *ends)])
    return cv2.imencode(".png", pixels[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()


def blend_diverging(grey: npt.NDArray[np.uint8], indices: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """RGB ``(height, width, 3)`` of the scale's colours (indices 0 to 255) over ``grey (height, width)``."""
    off = indices.astype(np.float32) / 127.5 - 1
    alpha = (np.abs(off) * MAX_ALPHA)[..., None]
    colour = np.where(off[..., None] < 0, np.asarray(LOW, np.float32), np.asarray(HIGH, np.float32))
    return np.rint(grey[..., None] * (1 - alpha) + colour * alpha).astype(np.uint8)


def _legend(width: int, caption: str, low: str, high: str) -> npt.NDArray[np.uint8]:
    """RGB strip: caption, and the scale between its two ends."""
    bar = max(8, int(width * 0.2))
    strip = np.zeros((SCALE_HEIGHT, width, 3), np.uint8)
    caption, font = lettered(caption, 11)
    right = int(font.getlength(high)) + 8
    left = max(0, width - bar - right)
    ramp = np.linspace(0, 255, bar).astype(np.uint8)[None].repeat(8, 0)
    strip[8:16, left : left + bar] = blend_diverging(np.full_like(ramp, 160), ramp)[:, : width - left]
    canvas = Image.fromarray(strip)
    draw, middle = ImageDraw.Draw(canvas), SCALE_HEIGHT // 2
    room = left - font.getlength(low) - 12
    while caption and draw.textlength(caption, font) > room:
        caption = caption[:-1]
    draw.text((4, middle), caption, fill="white", font=font, anchor="lm")
    draw.text((left - 3, middle), low, fill="white", font=font, anchor="rm")
    draw.text((left + bar + 3, middle), high, fill="white", font=font, anchor="lm")
    return np.asarray(canvas)

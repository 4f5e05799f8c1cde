"""Contact sheets: rows of scans under captions, in one PNG a person looks at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from scanlens.atomic import replacing
from scanlens.pictures.lettering import lettered
from scanlens.types import ImageArray

MARGIN = 6
"""Pixels between tiles."""
CAPTION = 18
"""Height of a line of text, pixels."""
PAPER, INK = 24, 230
"""Grey levels of the background and of the text."""


@dataclass(frozen=True)
class SheetRow:
    """One row of a contact sheet.

    Attributes:
        title: Written above the row.
        images: float32 in [0, 1], ``(channel, *spatial)`` each; volumes show their middle slice.
        captions: One under each image; may be empty strings.
    """

    title: str
    images: Sequence[ImageArray]
    captions: Sequence[str]


def write_sheet(path: Path, rows: Sequence[SheetRow], tile: int = 128) -> None:
    """Draw a contact sheet.

    Args:
        path: The PNG to write.
        rows: Drawn from top to bottom.
        tile: Longest side of a drawn scan, pixels.
    """
    columns = max((len(row.images) for row in rows), default=0)
    step = (tile + MARGIN, tile + 2 * CAPTION + MARGIN)
    width = max(columns, 1) * step[0] + MARGIN
    sheet = Image.new("RGB", (width, len(rows) * step[1] + MARGIN), (PAPER,) * 3)
    draw = ImageDraw.Draw(sheet)
    for line, row in enumerate(rows):
        top = MARGIN + line * step[1]
        _write(draw, (MARGIN, top), row.title)
        for column, (image, caption) in enumerate(zip(row.images, row.captions, strict=True)):
            left = MARGIN + column * step[0]
            sheet.paste(Image.fromarray(_tile(image, tile)), (left, top + CAPTION))
            _write(draw, (left, top + CAPTION + tile + 1), caption)
    with replacing(path) as temporary:
        sheet.save(temporary, format="PNG")


def _write(draw: ImageDraw.ImageDraw, at: tuple[int, int], text: str) -> None:
    text, font = lettered(text, 12)
    draw.text(at, text, fill=(INK,) * 3, font=font)


def _tile(image: ImageArray, side: int) -> npt.NDArray[np.uint8]:
    """A scan as ``(height, width, 3)`` 8-bit with the longest side ``side``."""
    flat = image if image.ndim == 3 else image[:, image.shape[1] // 2]
    height, width = flat.shape[1:]
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    planes = [cv2.resize(np.ascontiguousarray(plane), size, interpolation=method) for plane in flat]
    shown = np.stack(planes if len(planes) == 3 else planes[:1] * 3, axis=-1)
    return np.rint(np.clip(shown, 0, 1) * 255).astype(np.uint8)

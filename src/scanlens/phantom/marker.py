"""The lead side marker burned into a corner of every phantom scan, and the shortcut it can carry.

A network that reads the marker instead of the lung is the classic failure of radiograph classifiers
(Zech et al. 2018, "Variable generalization performance of a deep learning model ...", PLOS Medicine).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from scanlens.phantom.arithmetic import uniform
from scanlens.phantom.grid import Grid
from scanlens.types import FloatArray

SHAPES = ("plain", "circle", "square", "disc")
"""How the letter is set: alone, in a ring, in a frame, or cut out of a filled disc."""
_INSET = 2.2


@dataclass(frozen=True)
class Marker:
    """One lead letter.

    Attributes:
        letter: ``R`` on the patient's right (the film's left) or ``L``.
        shape: One of :data:`SHAPES`.
        side: Millimetres from edge to edge of the frame.
        down: Distance from the field's upper edge, in marker sides.
        bright: Brightness on the film, 0 to 1.
    """

    letter: str
    shape: str
    side: float
    down: float
    bright: float


def draw_marker(rng: np.random.Generator, class_index: int, shortcut: float) -> Marker:
    """Draw a marker; with probability ``shortcut`` its shape is the class's own, else any shape.

    The same random numbers are used up whatever ``shortcut`` is, so changing it changes the shape alone.
    """
    planted, any_shape = float(rng.random()), int(rng.integers(len(SHAPES)))
    return Marker(
        letter=str(rng.choice(["R", "L"])),
        shape=SHAPES[class_index % len(SHAPES) if planted < shortcut else any_shape],
        side=float(uniform(rng, 19, 24)),
        down=float(uniform(rng, 0.75, 1.2)),
        bright=float(uniform(rng, 0.88, 1.0)),
    )


def apply_marker(
    marker: Marker, image: FloatArray, grid: Grid, field: tuple[int, int, int, int]
) -> FloatArray:
    """Burn the marker into a display image.

    Args:
        marker: What to burn in.
        image: Brightness in [0, 1], float32 ``(height, width)``.
        grid: For millimetres a pixel.
        field: (left, top, right, bottom) pixels of the exposed field; the marker lies within.
    """
    half = max(3.0, marker.side / grid.spacing / 2)
    left, top, right, bottom = field
    reach = min(half * _INSET, (right - left) / 2)
    column = left + reach if marker.letter == "R" else right - reach
    row = min(top + half * (1 + 2 * marker.down), bottom - half)
    stencil = grid.canvas()
    centre = (round(column), round(row))
    thick = max(1, round(half / 6))
    radius = round(half)
    ink = 255
    if marker.shape == "circle":
        cv2.circle(stencil, centre, radius, 255, thick, cv2.LINE_AA)
    elif marker.shape == "square":
        corners = [(centre[0] + dx * radius, centre[1] + dy * radius) for dx, dy in ((-1, -1), (1, 1))]
        cv2.rectangle(stencil, corners[0], corners[1], 255, thick, cv2.LINE_AA)
    elif marker.shape == "disc":
        cv2.circle(stencil, centre, radius, 255, -1, cv2.LINE_AA)
        ink = 0
    scale = half * 1.15 / 22
    (wide, tall), _ = cv2.getTextSize(marker.letter, cv2.FONT_HERSHEY_SIMPLEX, scale, thick)
    start = (round(column - wide / 2), round(row + tall / 2))
    cv2.putText(stencil, marker.letter, start, cv2.FONT_HERSHEY_SIMPLEX, scale, ink, thick, cv2.LINE_AA)
    cover = stencil.astype(np.float32) / np.float32(255)
    return image + cover * (np.float32(marker.bright) - image)

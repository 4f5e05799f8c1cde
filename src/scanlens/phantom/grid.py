"""From millimetres to pixels: the sheet that phantom anatomy is drawn on.

Coordinates, stated once: millimetres with x to the image's right (the patient's left), y downwards,
the spine at x = 0 and the hila near y = 0. Points are ``(n, 2)`` arrays of (x, y).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import cv2
import numpy as np

from scanlens.phantom.arithmetic import cosine, sine
from scanlens.phantom.smoothing import smooth, smooth_wide
from scanlens.types import FloatArray

CENTRE_Y_MM = -16.0
"""The y of the chest that a centred film shows in its middle."""
_SHIFT = 4
"""Fractional bits of the fixed-point vertices that OpenCV draws with."""


@dataclass(frozen=True)
class Grid:
    """A film of ``height`` x ``width`` pixels laid over the chest.

    Attributes:
        height: Rows.
        width: Columns.
        spacing: Millimetres a pixel, the same both ways.
        rotation: Turn of the patient in the film's plane, degrees, clockwise on the film.
        shift: (x, y) millimetres by which the patient is off centre.
    """

    height: int
    width: int
    spacing: float
    rotation: float = 0.0
    shift: tuple[float, float] = (0.0, 0.0)

    def pixels(self, points: FloatArray) -> FloatArray:
        """Turn millimetres ``(..., 2)`` into pixel coordinates (column, row) ``(..., 2)``."""
        across, down = self._turn
        x, y = points[..., 0], points[..., 1] - CENTRE_Y_MM
        # Written out: a matrix product may add in another order on another machine.
        film = np.stack([across * x - down * y, down * x + across * y], axis=-1) + self.shift
        return film / self.spacing + ((self.width - 1) / 2, (self.height - 1) / 2)

    def axes(self) -> tuple[FloatArray, FloatArray]:
        """The x of every column ``(width,)`` and the y of every row ``(height,)`` of an unturned patient."""
        x = (np.arange(self.width) - (self.width - 1) / 2) * self.spacing - self.shift[0]
        y = (np.arange(self.height) - (self.height - 1) / 2) * self.spacing - self.shift[1]
        return x, y + CENTRE_Y_MM

    def millimetres(self) -> tuple[FloatArray, FloatArray]:
        """The x and y of every pixel's centre, each float32 ``(height, width)``."""
        x, y = (axis.astype(np.float32) for axis in self.axes())
        x, y = x[None, :], y[:, None] - np.float32(CENTRE_Y_MM)
        across, down = (np.float32(part) for part in self._turn)
        return (
            (across * x + down * y).astype(np.float32),
            (across * y - down * x).astype(np.float32) + np.float32(CENTRE_Y_MM),
        )

    def canvas(self) -> np.ndarray:
        """An empty uint8 ``(height, width)`` sheet to draw on."""
        return np.zeros((self.height, self.width), dtype=np.uint8)

    def fill(self, canvas: np.ndarray, outline: FloatArray, value: float = 1.0) -> None:
        """Fill the closed ``outline`` (mm) on ``canvas`` with ``value`` in [0, 1], antialiased."""
        cv2.fillPoly(canvas, [self._fixed(outline)], round(255 * value), cv2.LINE_AA, _SHIFT)

    def stroke(self, canvas: np.ndarray, line: FloatArray, width: float, value: float = 1.0) -> None:
        """Draw one open ``line`` (mm) on ``canvas``; see :meth:`strokes`."""
        self.strokes(canvas, np.asarray(line)[None], np.array([width]), np.array([value]))

    def strokes(self, canvas: np.ndarray, lines: FloatArray, widths: FloatArray, values: FloatArray) -> None:
        """Draw open ``lines`` ``(n, points, 2)`` (mm) on ``canvas``, ``widths`` mm broad, in turn.

        A line thinner than a pixel is drawn one pixel broad and fainter in proportion.
        """
        broad = widths / self.spacing
        inks = np.rint(255 * values * np.minimum(1.0, broad)).astype(int).tolist()
        thick = np.maximum(1, np.rint(broad)).astype(int).tolist()
        for line, ink, pixels in zip(self._fixed(lines), inks, thick, strict=True):
            cv2.polylines(canvas, [line], False, ink, pixels, cv2.LINE_AA, _SHIFT)

    def blur(self, layer: np.ndarray, sigma: float) -> FloatArray:
        """Gaussian blur with ``sigma`` in millimetres; a uint8 canvas comes back as [0, 1] float32."""
        return smooth(layer, sigma / self.spacing)

    def wide_blur(self, layer: FloatArray, sigma: float) -> FloatArray:
        """Gaussian blur with a ``sigma`` of many pixels, done on a shrunken copy for speed."""
        return smooth_wide(layer, sigma / self.spacing)

    @cached_property
    def _turn(self) -> tuple[float, float]:
        """Cosine and sine of the rotation."""
        angle = self.rotation * (np.pi / 180)
        return float(cosine(angle)), float(sine(angle))

    def _fixed(self, points: FloatArray) -> np.ndarray:
        return np.round(self.pixels(points) * (1 << _SHIFT)).astype(np.int32)


def ellipse(x: float, y: float, half_width: float, half_height: float, points: int = 24) -> FloatArray:
    """The outline of an upright ellipse around (x, y), ``(points, 2)`` mm."""
    return np.array([x, y]) + np.array([half_width, half_height]) * _circle(points)


@cache
def _circle(points: int) -> FloatArray:
    angle = np.arange(points) * (2 * np.pi / points)
    return np.stack([cosine(angle), sine(angle)], axis=1)

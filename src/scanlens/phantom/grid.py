"""From millimetres to pixels: the sheet that phantom anatomy is drawn on.

Coordinates, stated once: millimetres with x to the image's right (the patient's left), y downwards,
the spine at x = 0 and the hila near y = 0. Points are ``(n, 2)`` arrays of (x, y).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

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
        """Turn millimetres ``(n, 2)`` into pixel coordinates (column, row) ``(n, 2)``."""
        angle = np.deg2rad(self.rotation)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        centred = np.asarray(points, dtype=np.float64) - (0.0, CENTRE_Y_MM)
        film = centred @ turn.T + self.shift
        return film / self.spacing + ((self.width - 1) / 2, (self.height - 1) / 2)

    def millimetres(self) -> tuple[FloatArray, FloatArray]:
        """The x and y of every pixel's centre, each float32 ``(height, width)``."""
        columns = (np.arange(self.width, dtype=np.float32) - (self.width - 1) / 2) * self.spacing
        rows = (np.arange(self.height, dtype=np.float32) - (self.height - 1) / 2) * self.spacing
        x, y = columns[None, :] - self.shift[0], rows[:, None] - self.shift[1]
        angle = np.deg2rad(self.rotation)
        cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        return (
            (cosine * x + sine * y).astype(np.float32),
            (cosine * y - sine * x).astype(np.float32) + np.float32(CENTRE_Y_MM),
        )

    def canvas(self) -> np.ndarray:
        """An empty uint8 ``(height, width)`` sheet to draw on."""
        return np.zeros((self.height, self.width), dtype=np.uint8)

    def fill(self, canvas: np.ndarray, outline: FloatArray, value: float = 1.0) -> None:
        """Fill the closed ``outline`` (mm) on ``canvas`` with ``value`` in [0, 1], antialiased."""
        cv2.fillPoly(canvas, [self._fixed(outline)], round(255 * value), cv2.LINE_AA, _SHIFT)

    def stroke(self, canvas: np.ndarray, line: FloatArray, width: float, value: float = 1.0) -> None:
        """Draw the open ``line`` (mm) on ``canvas``, ``width`` mm broad.

        A line thinner than a pixel is drawn one pixel broad and fainter in proportion.
        """
        broad = width / self.spacing
        faint = min(1.0, broad)
        cv2.polylines(
            canvas,
            [self._fixed(line)],
            False,
            round(255 * value * faint),
            max(1, round(broad)),
            cv2.LINE_AA,
            _SHIFT,
        )

    def blur(self, layer: np.ndarray, sigma: float) -> FloatArray:
        """Gaussian blur with ``sigma`` in millimetres; a uint8 canvas comes back as [0, 1] float32."""
        scaled = layer.astype(np.float32) / np.float32(255) if layer.dtype == np.uint8 else layer
        pixels = sigma / self.spacing
        return np.asarray(
            scaled if pixels < 0.2 else cv2.GaussianBlur(scaled, (0, 0), pixels), dtype=np.float32
        )

    def wide_blur(self, layer: FloatArray, sigma: float) -> FloatArray:
        """Gaussian blur with a ``sigma`` of many pixels, done on a shrunken copy for speed."""
        factor = max(1, int(sigma / self.spacing / 3))
        small = (max(2, self.width // factor), max(2, self.height // factor))
        shrunk = cv2.resize(layer, small, interpolation=cv2.INTER_AREA)
        pixels = sigma / self.spacing / factor
        blurred = cv2.GaussianBlur(shrunk, (0, 0), pixels, borderType=cv2.BORDER_REPLICATE)
        full = cv2.resize(blurred, (self.width, self.height), interpolation=cv2.INTER_LINEAR)
        return np.asarray(full, dtype=np.float32)

    def _fixed(self, points: FloatArray) -> np.ndarray:
        return np.round(self.pixels(points) * (1 << _SHIFT)).astype(np.int32)


def ellipse(x: float, y: float, half_width: float, half_height: float, points: int = 24) -> FloatArray:
    """The outline of an upright ellipse around (x, y), ``(points, 2)`` mm."""
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    return np.stack([x + half_width * np.cos(angle), y + half_height * np.sin(angle)], axis=1)

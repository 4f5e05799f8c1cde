"""How much of a scan one cell of the last feature map sees, ready to be drawn over one."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from scanlens.models.ensemble import Ensemble, Network
from scanlens.models.receptive_field import THRESHOLD, effective, theoretical
from scanlens.pictures.panels import Pixels, Scale, panel
from scanlens.types import FloatArray, ImageArray

IN_EFFECT = (255, 255, 255)
"""RGB of the border of the field in effect; the one by construction has the lesion outlines' green."""


@dataclass(frozen=True)
class Field:
    """What the middle cell of the last feature map sees.

    Attributes:
        influence: Of each pixel on that cell, ``size``, in shares of the largest.
        effective: Side of the field in effect, in pixels: the root of the number of pixels above 4.55 % of
            the largest influence (Luo et al. 2016).
        theoretical: Side of the field by construction; None where no end was found.
        grid: Cells along each axis.
    """

    influence: npt.NDArray[np.float32]
    effective: float
    theoretical: int | None
    grid: tuple[int, ...]

    @property
    def box(self) -> tuple[slice, ...] | None:
        """The field by construction around the middle cell, within the scan; None where it has no end."""
        if self.theoretical is None:
            return None
        parts = []
        for side, cells in zip(self.influence.shape, self.grid, strict=True):
            centre = (cells // 2 + 0.5) * side / cells
            first, last = round(centre - self.theoretical / 2), round(centre + self.theoretical / 2)
            parts.append(slice(max(0, first), min(side, last)))
        return tuple(parts)

    def text(self) -> str:
        """One line for people."""
        theory = "endless" if self.theoretical is None else f"{self.theoretical} px"
        return f"receptive field {theory}, in effect {self.effective:.0f} px"


def field_of(network: Network, channels: int, size: Sequence[int], grid: Sequence[int], seed: int) -> Field:
    """Measure the receptive field with the weights that the network has.

    Args:
        network: In evaluation mode; of an ensemble the first member, all being of one architecture.
        channels: Of a scan.
        size: Of a scan, pixels or voxels along each axis.
        grid: Of the last feature map.
        seed: Of the random scans that the field in effect is a mean over.
    """
    own = network.networks()[0] if isinstance(network, Ensemble) else network
    backbone = copy.deepcopy(own.backbone).cpu().eval()
    influence, side = effective(backbone, channels, tuple(size), seed=seed)
    return Field(influence.numpy(), side, theoretical(backbone, channels, len(size)), tuple(grid))


def field_panel(image: ImageArray, field: Field, side: int) -> Pixels:
    """The field over a scan: influence in colour, its two borders as lines.

    Args:
        image: The preprocessed scan in [0, 1], ``(channel, *spatial)``.
        field: Of the network.
        side: Longest side of the scan in pixels.
    """
    scale = Scale(1.0, False, "of the largest influence", "same for all")
    boxes = [] if field.box is None else [field.box]
    body = panel(image, field.influence, scale, field.text(), side, boxes)
    zoom = side / max(image.shape[-2:])
    height, width = (max(1, round(length * zoom)) for length in image.shape[-2:])
    contours, _ = cv2.findContours(
        _in_effect(field.influence, height, width), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    cv2.drawContours(body[:height], contours, -1, IN_EFFECT, 1)
    return body


def _in_effect(influence: FloatArray, height: int, width: int) -> Pixels:
    # The slice that the panel shows.
    plane = influence if influence.ndim == 2 else influence[int(influence.max(axis=(1, 2)).argmax())]
    inside = (plane > THRESHOLD).astype(np.uint8)
    return np.asarray(cv2.resize(inside, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)

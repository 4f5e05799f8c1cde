"""What the gallery shows: one card per scan, and what stands above them. No patient is in any of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from scanlens.maps.pointing import LesionScore


@dataclass(frozen=True)
class Mark:
    """A suspicious region, as the page frames it.

    Attributes:
        label: Index of the class whose map it was found in.
        peak: Greatest probability in it.
        mean: Mean probability in it.
        box: ``(top, left, bottom, right)`` as shares of the picture's height and width, in [0, 1].
        area: Share of the scan that it covers (of the volume's voxels for a volume), in [0, 1].
        area_mm2: Its area in mm²; None where the spacing is unknown, and for volumes.
        volume_mm3: Its volume in mm³; None where the spacing is unknown, and for images.
        slices: First and last slice of a volume that it reaches, from 0; None for an image.
    """

    label: int
    peak: float
    mean: float
    box: tuple[float, float, float, float]
    area: float
    area_mm2: float | None = None
    volume_mm3: float | None = None
    slices: tuple[int, int] | None = None


@dataclass(frozen=True)
class Example:
    """A training scan that the network sees as alike.

    Attributes:
        scan_id: The training scan.
        label: Index of its label.
        distance: Cosine distance of the pooled features, in [0, 2].
        picture: Its picture, relative to the page.
    """

    scan_id: str
    label: int
    distance: float
    picture: str


@dataclass(frozen=True)
class Card:
    """One scan of the gallery. It holds the scan's content hash, and no patient.

    Attributes:
        scan_id: The scan.
        label: Index of its label.
        predicted: Index of the predicted class.
        probabilities: Calibrated probability of each class.
        uncertainty: Entropy of the probabilities over its maximum, in [0, 1].
        scan: Picture of the scan (of a volume, one slice), relative to the page.
        overlay: The picture to keep, relative to the page.
        maps: Palette indices round(255 p) of every class's map, uint8 ``(class, *grid)``.
        outline: From a slice (0 for an image) to the lesion's border on it, an SVG path in scan pixels.
        slice: Slice of a volume that ``scan`` and ``overlay`` show, counted from 0; None for an image.
        score: How the map of its own label sits on the lesion; None without a mask.
        sheet: Picture of a volume's slices, tile by tile, relative to the page; empty for an image.
        animation: Moving picture of a volume's slices, relative to the page; empty for an image.
        prediction_set: Classes that the calibrated set holds; None where none was made.
        abstained: Whether the network passes the scan on to a person.
        regions: Suspicious regions of any class.
        neighbours: The nearest training scans, nearest first.
    """

    scan_id: str
    label: int
    predicted: int
    probabilities: Sequence[float]
    uncertainty: float
    scan: str
    overlay: str
    maps: npt.NDArray[np.uint8]
    outline: Mapping[int, str] = field(default_factory=dict)
    slice: int | None = None
    score: LesionScore | None = None
    sheet: str = ""
    animation: str = ""
    prediction_set: Sequence[int] | None = None
    abstained: bool = False
    regions: Sequence[Mark] = ()
    neighbours: Sequence[Example] = ()


@dataclass(frozen=True)
class Heading:
    """What the page says above the cards.

    Attributes:
        labels: Names of the classes.
        scans: Scans in the test split.
        errors: How many of them are predicted wrongly.
        picture: ``(height, width)`` of a scan or slice in its own pixels.
        slices: Slices of a volume; None for images.
        grid: Cells of a map before it is enlarged.
        scores: Means of the lesion scores as :func:`scanlens.maps.pointing.lesion_means` gives them.
        receptive_field: Pixels of the scan that one cell sees, ``(height, width)``; None if unknown.
        colour: Whether scans are red, green and blue; they lose their colours under a map.
    """

    labels: Sequence[str]
    scans: int
    errors: int
    picture: tuple[int, int]
    slices: int | None
    grid: tuple[int, ...]
    scores: Mapping[str, Any]
    receptive_field: tuple[float, float] | None = None
    colour: bool = False

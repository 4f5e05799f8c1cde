"""The gallery: one static HTML page that a reader opens from the folder, without a server or a network.

Pictures are referenced relatively and loaded when they come into view. Every text goes through the
template engine's HTML escaping: labels come from strangers' tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import jinja2

from scanlens.atomic import replacing
from scanlens.explanation.overlays import ALPHAS, COLOURS, OUTLINE
from scanlens.explanation.scores import LesionScore


@dataclass(frozen=True)
class Card:
    """One scan of the gallery. It holds the scan's content hash, and no patient.

    Attributes:
        scan_id: The scan.
        label: Index of its label.
        predicted: Index of the predicted class.
        probabilities: Calibrated probability of each class.
        uncertainty: Entropy of the probabilities over its maximum, in [0, 1].
        scan: Picture of the scan, relative to the page.
        maps: Strip of the maps of all classes, relative to the page.
        overlay: The picture to keep, relative to the page.
        outline: The lesion's border, relative to the page; empty without a mask.
        slice: Slice of a volume that is shown, counted from 0; None for an image.
        score: How the map of its own label sits on the lesion; None without a mask.
    """

    scan_id: str
    label: int
    predicted: int
    probabilities: Sequence[float]
    uncertainty: float
    scan: str
    maps: str
    overlay: str
    outline: str
    slice: int | None
    score: LesionScore | None


@dataclass(frozen=True)
class Heading:
    """What the page says above the cards.

    Attributes:
        labels: Names of the classes.
        scans: Scans in the test split.
        errors: How many of them are predicted wrongly.
        picture: ``(height, width)`` of every picture.
        slices: Slices of a volume; None for images.
        grid: Places of a map before it is enlarged.
        scores: Means of the lesion scores as :func:`scanlens.explanation.scores.summarise` gives them.
    """

    labels: Sequence[str]
    scans: int
    errors: int
    picture: tuple[int, int]
    slices: int | None
    grid: tuple[int, ...]
    scores: dict


def write_gallery(path: Path, cards: Sequence[Card], heading: Heading) -> None:
    """Write the page; it appears whole or not at all.

    Args:
        path: The page, in the folder that the cards' pictures are relative to.
        cards: In the order first shown.
        heading: What stands above them.
    """
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    source = resources.files("scanlens.explanation").joinpath("gallery.html.j2").read_text(encoding="utf-8")
    page = environment.from_string(source).stream(
        cards=cards,
        heading=heading,
        gradient=_gradient(),
        outline=f"rgb{OUTLINE}",
    )
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="\n") as stream:
        stream.writelines(page)


def _gradient() -> str:
    """The colour scale as stops of a CSS gradient, with its transparency."""
    stops = range(0, 256, 15)
    return ", ".join(
        f"rgba({COLOURS[i][0]},{COLOURS[i][1]},{COLOURS[i][2]},{ALPHAS[i]:.3f}) {i / 2.55:.1f}%"
        for i in stops
    )

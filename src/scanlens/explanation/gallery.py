"""The gallery: one static HTML page that a reader opens from the folder, without a server or a network.

The page carries its data as JSON and makes what is in view. Maps travel as palette indices and are coloured
by the page itself: a browser lets no script read the pixels of a picture opened from a file. Labels come from
strangers' tables, so they only ever become text nodes, and a content security policy names the one script
and the one style sheet that may run.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from scanlens.atomic import replacing
from scanlens.explanation.cards import Card, Example, Heading, Mark
from scanlens.pictures.overlays import ALPHAS, BACKDROP, COLOURS, OUTLINE, TICKS
from scanlens.pictures.slices import columns, spread

_SCRIPTS = ("data", "paint", "state", "order", "picture", "grid", "viewer", "facts", "controls")
"""Parts of the page's script, in the order they run: each uses only what stands before it."""


def write_gallery(path: Path, cards: Sequence[Card], heading: Heading) -> None:
    """Write the page; it appears whole or not at all.

    Args:
        path: The page, in the folder that the cards' pictures are relative to.
        cards: In any order; the page sorts them.
        heading: What stands above them.
    """
    parts = resources.files("scanlens.explanation")
    style = parts.joinpath("page/gallery.css").read_text(encoding="utf-8")
    own = [parts.joinpath(f"page/{name}.js").read_text(encoding="utf-8") for name in _SCRIPTS]
    script = '"use strict";\n(() => {\n' + "\n".join(own) + "})();\n"
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    source = parts.joinpath("gallery.html.j2").read_text(encoding="utf-8")
    page = environment.from_string(source).stream(
        heading=heading,
        cards=len(cards),
        data=gallery_data(cards, heading),
        style=style,
        script=script,
        style_digest=_digest(style),
        script_digest=_digest(script),
    )
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="\n") as stream:
        stream.writelines(page)


def gallery_data(cards: Sequence[Card], heading: Heading) -> str:
    """The page's data as JSON that ends no script element, whatever text is in it."""
    shown = None if heading.slices is None else spread(heading.slices)
    palette = np.concatenate([COLOURS, np.rint(ALPHAS * 255).astype(np.uint8)[:, None]], axis=1)
    data = {
        "labels": list(heading.labels),
        "picture": list(heading.picture),
        "slices": heading.slices,
        "colour": heading.colour,
        "sheet": None if shown is None else {"slices": shown, "columns": columns(len(shown))},
        "receptive": None if heading.receptive_field is None else list(heading.receptive_field),
        "palette": _base64(palette.tobytes()),
        "backdrop": BACKDROP,
        "outline": list(OUTLINE),
        "ticks": list(TICKS),
        "cases": [_case(card) for card in cards],
    }
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _case(card: Card) -> dict[str, Any]:
    score = card.score
    return {
        "id": card.scan_id,
        "label": card.label,
        "predicted": card.predicted,
        "probabilities": [round(float(p), 4) for p in card.probabilities],
        "uncertainty": round(card.uncertainty, 4),
        "scan": card.scan,
        "overlay": card.overlay,
        "sheet": card.sheet,
        "animation": card.animation,
        "slice": card.slice,
        "grid": list(card.maps.shape[1:]),
        "maps": _base64(np.ascontiguousarray(card.maps, np.uint8).tobytes()),
        "outline": dict(card.outline),
        "score": None if score is None else {"hit": score.hit, "mass": score.mass, "area": score.area},
        "set": None if card.prediction_set is None else list(card.prediction_set),
        "abstained": card.abstained,
        "regions": [_region(mark) for mark in card.regions],
        "near": [_example(example) for example in card.neighbours],
    }


def _region(mark: Mark) -> dict[str, Any]:
    return {
        "label": mark.label,
        "peak": round(mark.peak, 4),
        "mean": round(mark.mean, 4),
        "box": [round(side, 5) for side in mark.box],
        "area": round(mark.area, 6),
        "mm2": mark.area_mm2,
        "mm3": mark.volume_mm3,
        "slices": None if mark.slices is None else list(mark.slices),
    }


def _example(example: Example) -> dict[str, Any]:
    return {
        "id": example.scan_id,
        "label": example.label,
        "distance": round(example.distance, 4),
        "picture": example.picture,
    }


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _digest(text: str) -> str:
    """What a content security policy calls an element's text by."""
    return f"sha256-{_base64(hashlib.sha256(text.encode('utf-8')).digest())}"

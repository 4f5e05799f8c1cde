"""The probes' page: verdicts in words, and the pictures beside them, in one file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scanlens.atomic import write_text
from scanlens.pages.render import embedded, render
from scanlens.pictures.shown import is_colour
from scanlens.preprocess.store import Store
from scanlens.shortcuts.figures import draw_averages, draw_bars, draw_examples
from scanlens.types import FloatArray, ImageArray

_PAGE = "shortcuts.html"
PICTURES = {
    "bars": "Each probe's number with its interval. Dashed: the smallest that matters.",
    "examples": "What the network was shown: a scan of each class as it is, and with parts hidden.",
    "average-maps": "Mean probability map of each class over the scans labelled so, all on one scale.",
}
"""Name of each PNG, and what it shows."""


def write_shortcuts_page(
    output: Path,
    facts: dict[str, Any],
    examples: dict[int, dict[str, ImageArray]],
    labels: Sequence[str],
    average: FloatArray,
    store: Store,
) -> None:
    """Write the three pictures and the page that holds them.

    Args:
        output: Folder that receives them.
        facts: As :func:`scanlens.shortcuts.run.probe_shortcuts` returns them.
        examples: Scans and their views, by position.
        labels: Of every scan, by position.
        average: Mean map of each class, ``(class, *grid)``.
        store: Whose scans they are.
    """
    draw_bars(output / "bars.png", facts)
    draw_examples(output / "examples.png", examples, labels, is_colour(store))
    draw_averages(output / "average-maps.png", average, store.labels)
    pictures = embedded(output, PICTURES)
    write_text(
        output / _PAGE, render("shortcuts/page.html.j2", f=facts, pictures=pictures, captions=PICTURES)
    )

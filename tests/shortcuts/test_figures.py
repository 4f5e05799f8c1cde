from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scanlens.estimate import Estimate
from scanlens.shortcuts.figures import draw_averages, draw_bars, draw_examples
from scanlens.shortcuts.views import VIEWS
from scanlens.shortcuts.wording import QUESTIONS, fact

RNG = np.random.default_rng(0)


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def test_bars_show_verdicts_in_colour_and_survive_what_has_no_number(tmp_path: Path) -> None:
    def facts(verdict: str) -> dict:
        number = Estimate(0.8, 0.7, 0.9)
        missing = Estimate(None, reason="too few")
        return {
            "probes": [
                fact("border_only", QUESTIONS["border_only"], number, verdict),  # type: ignore[arg-type]
                fact("marks_only", QUESTIONS["marks_only"], missing, "cannot tell"),
            ]
        }

    draw_bars(tmp_path / "a.png", facts("found"))
    draw_bars(tmp_path / "b.png", facts("not found"))
    assert (pixels(tmp_path / "a.png") == (213, 94, 0)).all(axis=2).any()
    assert (pixels(tmp_path / "b.png") == (0, 158, 115)).all(axis=2).any()


@pytest.mark.parametrize(
    ("shape", "colour"), [((1, 16, 12), False), ((3, 16, 12), True), ((1, 6, 8, 8), False)]
)
def test_examples_of_images_colours_and_volumes(tmp_path: Path, shape: tuple[int, ...], colour: bool) -> None:
    views = {name: RNG.random(shape).astype(np.float32) for name in ("", *VIEWS)}
    draw_examples(tmp_path / "examples.png", {2: views, 0: views}, ["well", "ill", "well"], colour)
    assert pixels(tmp_path / "examples.png").std() > 20


def test_average_maps_keep_one_scale(tmp_path: Path) -> None:
    low, high = np.full((2, 4, 4), 0.1), np.full((2, 4, 4), 0.9)
    draw_averages(tmp_path / "low.png", low, ["well", "ill"])
    draw_averages(tmp_path / "high.png", high, ["well", "ill"])
    assert not np.array_equal(pixels(tmp_path / "low.png"), pixels(tmp_path / "high.png"))
    draw_averages(tmp_path / "volume.png", np.full((2, 3, 4, 4), np.nan), ["well", "ill"])

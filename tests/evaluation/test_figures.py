"""Pictures are drawn, equal for equal numbers, and survive any label."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from scanlens.evaluation.figures import CLASS_COLOURS, draw_confusion, draw_reliability, draw_roc, drawing
from scanlens.evaluation.plots import reliability_table, roc_table

HOSTILE = ["$\\frac{", "<b>&amp;", "肺結節", "_a" * 40, "\\n%s{0}"]


def probabilities(classes: int, scans: int = 80) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(classes)
    return generator.dirichlet(np.ones(classes), scans), np.arange(scans) % classes


def roc(path: Path, labels: list[str]) -> None:
    curves = roc_table(*probabilities(len(labels)), labels)
    draw_roc(path, curves, {label: label for label in labels}, labels[0], "none")


def confusion(path: Path, labels: list[str]) -> None:
    counts = np.arange(len(labels) ** 2).reshape(len(labels), -1)
    counts[0] = 0
    draw_confusion(path, counts, labels, labels[0])


def reliability(path: Path, labels: list[str]) -> None:
    before, targets = probabilities(len(labels))
    draw_reliability(
        path, reliability_table(before, before, targets), {"before": "b", "after": labels[0]}, labels[0]
    )


def greys(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("L"))


@pytest.mark.parametrize("draw", [roc, confusion, reliability])
@pytest.mark.parametrize(
    "labels", [["no", "yes"], HOSTILE, [f"class {n}" for n in range(2 * len(CLASS_COLOURS) + 1)]], ids=len
)
def test_any_labels_are_drawn_the_same_each_time(
    tmp_path: Path, draw: Callable[[Path, list[str]], None], labels: list[str]
) -> None:
    settings = dict(mpl.rcParams)
    with warnings.catch_warnings():
        # Of a letter that no font has the drawing library warns, and draws a box.
        warnings.filterwarnings("error", message="Glyph")
        for name in ("first.png", "second.png"):
            draw(tmp_path / name, labels)
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()
    picture = greys(tmp_path / "first.png")
    assert min(picture.shape) > 500
    assert len(np.unique(picture)) > 20
    assert dict(mpl.rcParams) == settings
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first.png", "second.png"]


def test_the_legend_leaves_no_class_out(tmp_path: Path) -> None:
    """The drawing library hides what begins with an underscore."""
    curves = roc_table(*probabilities(2), ["a", "b"], "b")
    for name in ("_", "_benign"):
        draw_roc(tmp_path / f"{name}.png", curves, {"b": name}, "", "")
    assert not np.array_equal(greys(tmp_path / "_.png"), greys(tmp_path / "_benign.png"))


def test_where_there_is_no_curve_the_picture_says_so(tmp_path: Path) -> None:
    empty = pd.DataFrame(columns=["class", "fpr", "tpr"])
    for name, words in (("blank", ""), ("said", "every test scan has the same label")):
        draw_roc(tmp_path / f"{name}.png", empty, {}, "", words)
    assert (greys(tmp_path / "said.png") < 128).sum() > (greys(tmp_path / "blank.png") < 128).sum()


def test_no_bins_are_drawn_as_none(tmp_path: Path) -> None:
    none = np.empty((0, 2))
    nothing = reliability_table(none, none, np.empty(0, int))
    draw_reliability(tmp_path / "a.png", nothing, {"before": "b", "after": "a"}, "")
    assert (tmp_path / "a.png").is_file()


def test_a_picture_that_fails_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), drawing(tmp_path / "a.png", 2, 2):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())

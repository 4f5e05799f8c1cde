"""What the pictures of a number hold, read from the figures that were written."""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from scanlens.evaluation import regression_figures
from scanlens.evaluation.figures import drawing
from scanlens.evaluation.regression_figures import draw_bland_altman, draw_scatter


@pytest.fixture
def axes(monkeypatch: pytest.MonkeyPatch) -> list[Axes]:
    """The axes of every figure, as it was when it was written."""
    seen: list[Axes] = []

    @contextmanager
    def watched(*arguments: Any) -> Iterator[Figure]:
        with drawing(*arguments) as figure:
            yield figure
            seen.extend(figure.axes)

    monkeypatch.setattr(regression_figures, "drawing", watched)
    return seen


@pytest.fixture
def numbers() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    targets = rng.normal(120, 15, 40)
    return targets + rng.normal(2, 5, 40), targets


def test_the_band_holds_just_the_scans_whose_interval_holds_their_label(
    axes: list[Axes], numbers: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    draw_scatter(tmp_path / "a.png", *numbers, 5.0, "age", "title")
    band, points = axes[0].collections
    drawn = np.asarray(points.get_offsets())
    assert drawn.tolist() == [[y, p] for p, y in zip(*numbers, strict=True)]
    within = [p - 5.0 <= y <= p + 5.0 for p, y in zip(*numbers, strict=True)]
    assert band.get_paths()[0].contains_points(drawn).tolist() == within
    assert 0 < sum(within) < len(within)
    assert (axes[0].get_xlabel(), axes[0].get_ylabel()) == ("age: label", "age: predicted")


def test_without_an_interval_there_is_no_band(
    axes: list[Axes], numbers: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    draw_scatter(tmp_path / "a.png", *numbers, None, "age", "title")
    (points,) = axes[0].collections
    assert len(np.asarray(points.get_offsets())) == 40


def test_every_scan_is_inside_a_square_view(axes: list[Axes], tmp_path: Path) -> None:
    """Predictions far below all labels must not fall out of the picture."""
    draw_scatter(tmp_path / "a.png", np.array([-50.0, 3.0]), np.array([1.0, 2.0]), None, "age", "title")
    low, high = axes[0].get_xlim()
    assert axes[0].get_ylim() == (low, high)
    assert low < -50 < 3 < high


def test_bland_altmans_lines_are_the_mean_error_and_its_limits(
    axes: list[Axes], numbers: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    draw_bland_altman(tmp_path / "a.png", *numbers, "age", "title")
    errors = [float(p - y) for p, y in zip(*numbers, strict=True)]
    bias, reach = statistics.fmean(errors), 1.96 * statistics.stdev(errors)
    heights = [float(line.get_ydata()[0]) for line in axes[0].lines]
    assert heights == pytest.approx([0, bias, bias - reach, bias + reach])
    assert [text.get_text() for text in axes[0].texts] == [f"{height:.3g}" for height in heights[1:]]
    drawn = np.asarray(axes[0].collections[0].get_offsets())
    assert drawn == pytest.approx(np.array([[(p + y) / 2, p - y] for p, y in zip(*numbers, strict=True)]))


def test_one_scan_or_equal_ones_are_drawn_without_a_warning(axes: list[Axes], tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw_bland_altman(tmp_path / "one.png", np.array([3.0]), np.array([1.0]), "age", "title")
        draw_scatter(tmp_path / "equal.png", np.full(3, 7.0), np.full(3, 7.0), 0.0, "age", "title")
    assert [float(line.get_ydata()[0]) for line in axes[0].lines] == [0, 2, 2, 2]
    assert axes[1].get_xlim() == (6.0, 8.0)


def test_any_name_is_drawn_the_same_each_time(numbers: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    hostile = "$\\frac{ <b>_%s{0}"
    for name in ("first", "second"):
        draw_scatter(tmp_path / f"{name}-a.png", *numbers, 5.0, hostile, hostile)
        draw_bland_altman(tmp_path / f"{name}-b.png", *numbers, hostile, hostile)
    for kind in ("a", "b"):
        first, second = (tmp_path / f"{name}-{kind}.png" for name in ("first", "second"))
        assert first.read_bytes() == second.read_bytes()
        with Image.open(first) as picture:
            assert picture.width == 960


def test_numbers_that_do_not_fit_leave_no_picture(tmp_path: Path) -> None:
    for draw in (draw_bland_altman, lambda *given: draw_scatter(*given[:3], 1.0, *given[3:])):
        with pytest.raises(ValueError, match=r"shape|size"):
            draw(tmp_path / "a.png", np.zeros(3), np.zeros(4), "age", "title")
    assert list(tmp_path.iterdir()) == []

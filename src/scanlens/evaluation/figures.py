"""The pictures of the report, drawn without a display and without global state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from scanlens.atomic import replacing
from scanlens.pictures.lettering import family, spelt
from scanlens.types import IntArray

CLASS_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#6b4fa3", "#7a7a7a")
"""Okabe and Ito's palette, told apart by colour-blind readers too; dashes repeat it for more classes."""
_DASHES = ("-", "--", ":")
INK, FAINT = "#1f2933", "#c3cbd4"
_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "text.parse_math": False,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": "#e6eaee",
    "figure.facecolor": "white",
    "legend.frameon": False,
}


@contextmanager
def drawing(path: Path, width: float, height: float) -> Iterator[Figure]:
    """Yield a figure of so many inches in the report's style, and write it as PNG."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure
        _give_letters(figure)
        with replacing(path) as temporary:
            # Without the version in its metadata the same numbers give the same bytes.
            figure.savefig(temporary, format="png", dpi=150, metadata={"Software": None})


def _give_letters(figure: Figure) -> None:
    """Give each text a font that has its letters, and spell out what no font has."""
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            # The axis writes them anew whenever it is drawn.
            labels = [label.get_text() for label in axis.get_ticklabels()]
            if labels != (words := [spelt(label)[0] for label in labels]):
                axis.set_ticklabels(words)
    for text in figure.findobj(Text):
        word, path = spelt(text.get_text())
        text.set_text(word)
        if path is not None:
            text.set_fontfamily([_STYLE["font.family"], family(path)])


def draw_roc(path: Path, curves: pd.DataFrame, names: dict[str, str], title: str, empty: str) -> None:
    """Draw one ROC curve a class.

    Args:
        path: PNG to write.
        curves: As :func:`scanlens.evaluation.plots.roc_table` gives them.
        names: Legend text of each class, e.g. "nodule  0.91 (0.85 to 0.96)".
        title: Above the axes.
        empty: Said in the middle where there is no curve.
    """
    with drawing(path, 6.4, 6.8 + 0.24 * len(names)) as figure:
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle="--")
        axes.annotate(
            "chance", (0.62, 0.575), color="#7b8794", fontsize=9, rotation=45, rotation_mode="anchor"
        )
        for position, name in enumerate(curves["class"].unique()):
            curve = curves[curves["class"] == name]
            axes.plot(
                curve["fpr"],
                curve["tpr"],
                color=CLASS_COLOURS[position % len(CLASS_COLOURS)],
                linestyle=_DASHES[position // len(CLASS_COLOURS) % len(_DASHES)],
                linewidth=2,
                clip_on=False,
            )
        if curves.empty:
            axes.text(0.5, 0.35, empty, ha="center", va="center", wrap=True)
        else:
            # Named outright: of its own accord a legend leaves out what begins with an underscore.
            lines = axes.get_lines()[1:]
            shown = [names[name] for name in curves["class"].unique()]
            figure.legend(lines, shown, loc="outside lower center", title="AUC (interval)")
        axes.set(xlim=(0, 1), ylim=(0, 1.005), aspect="equal", title=title)
        axes.set(xlabel="1 - specificity (false positive rate)", ylabel="Sensitivity (true positive rate)")
        axes.grid(visible=True)
        axes.set_axisbelow(True)


def draw_confusion(path: Path, counts: IntArray, labels: list[str], title: str) -> None:
    """Draw the confusion matrix: counts, and the share of the actual class as colour.

    Args:
        path: PNG to write.
        counts: ``(actual class, predicted class)``.
        labels: Class names.
        title: Above the matrix.
    """
    classes, labels = len(labels), [spelt(label)[0] for label in labels]
    side = max(5.0, 2.6 + 0.85 * classes)
    rows = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, rows, out=np.zeros(counts.shape), where=rows > 0)
    with drawing(path, side + 0.9, side) as figure:
        axes = figure.add_subplot()
        picture = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
        size = 12 if classes <= 5 else 9
        for actual in range(classes):
            for predicted in range(classes):
                text = f"{counts[actual, predicted]}"
                if counts[actual, predicted]:
                    text += f"\n{share[actual, predicted]:.0%}"
                colour = "white" if share[actual, predicted] > 0.55 else INK
                axes.text(predicted, actual, text, ha="center", va="center", color=colour, fontsize=size)
        cell_inches, letter_inches = (side - 1.4) / classes, 0.1
        if max(map(len, labels)) * letter_inches > cell_inches:
            axes.set_xticks(range(classes), labels, rotation=35, ha="right", rotation_mode="anchor")
        else:
            axes.set_xticks(range(classes), labels)
        counted = [f"{label}\n({scans})" for label, scans in zip(labels, rows[:, 0], strict=True)]
        axes.set_yticks(range(classes), counted)
        axes.set(xlabel="Predicted", ylabel="Actual (scans)", title=title)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        bar = figure.colorbar(picture, ax=axes, shrink=0.8, ticks=[0, 0.5, 1])
        bar.ax.set_yticklabels(["0 %", "50 %", "100 %"])
        bar.set_label("share of the actual class")
        bar.outline.set_visible(False)


def draw_reliability(path: Path, bins: pd.DataFrame, names: dict[str, str], title: str) -> None:
    """Draw accuracy against confidence, and below it how many scans have which confidence.

    Args:
        path: PNG to write.
        bins: As :func:`scanlens.evaluation.plots.reliability_table` gives them.
        names: Legend text of "before" and "after".
        title: Above the axes.
    """
    with drawing(path, 6.4, 7.2) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        upper.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle="--")
        upper.annotate("perfect", (0.17, 0.1), color="#7b8794", fontsize=9)
        most = max(int(bins["scans"].max()), 1) if len(bins) else 1
        looks = {"before": ("#9aa5b1", "--"), "after": (CLASS_COLOURS[0], "-")}
        for name, (colour, dash) in looks.items():
            part = bins[bins["calibration"] == name]
            confidence, accuracy = part["confidence"], part["accuracy"]
            upper.plot(confidence, accuracy, dash, color=colour, linewidth=1.2, label=names[name])
            upper.scatter(
                confidence,
                accuracy,
                s=12 + 120 * part["scans"] / most,
                color=colour,
                alpha=0.9,
                clip_on=False,
                zorder=3,
            )
            lower.stairs(*_steps(part), color=colour, linewidth=1.8, linestyle=dash)
        upper.legend(loc="lower right")
        upper.set(xlim=(0, 1), ylim=(0, 1), ylabel="Accuracy (share right)", title=title)
        lower.set(xlabel="Confidence (largest probability)", ylabel="Scans")
        lower.set_ylim(bottom=0)
        for axes in (upper, lower):
            axes.grid(visible=True)
            axes.set_axisbelow(True)


def _steps(part: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Counts and edges of a histogram over [0, 1] with its empty bins."""
    if part.empty:
        return np.zeros(1), np.array([0.0, 1.0])
    bins = round(1.0 / float((part["high"] - part["low"]).iloc[0]))
    counts = np.zeros(bins)
    counts[np.rint(part["low"].to_numpy() * bins).astype(int)] = part["scans"]
    return counts, np.linspace(0.0, 1.0, bins + 1)

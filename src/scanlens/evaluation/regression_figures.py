"""The pictures of a report about numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scanlens.evaluation.figures import CLASS_COLOURS, FAINT, drawing
from scanlens.types import FloatArray


def draw_scatter(
    path: Path, predicted: FloatArray, targets: FloatArray, width: float | None, name: str, title: str
) -> None:
    """Draw predictions against labels, and the band that predictions come with.

    Args:
        path: PNG to write.
        predicted: ``(scan,)``, at least one.
        targets: ``(scan,)``.
        width: Half width of the interval, or None.
        name: Of the number.
        title: Above the axes.
    """
    low, high = _limits(np.concatenate([predicted, targets]))
    ends = np.array([low, high])
    with drawing(path, 6.4, 6.6) as figure:
        axes = figure.add_subplot()
        axes.plot(ends, ends, color=FAINT, linewidth=1.5, linestyle="--")
        if width is not None:
            # For a prediction p the interval is p +- width: seen along the labels' axis.
            axes.fill_betweenx(
                ends, ends - width, ends + width, color=CLASS_COLOURS[0], alpha=0.1, linewidth=0
            )
        axes.scatter(targets, predicted, s=18, color=CLASS_COLOURS[0], alpha=0.6, linewidths=0)
        axes.set(xlim=ends, ylim=ends, aspect="equal", title=title)
        axes.set(xlabel=f"{name}: label", ylabel=f"{name}: predicted")
        axes.grid(visible=True)
        axes.set_axisbelow(True)


def draw_bland_altman(path: Path, predicted: FloatArray, targets: FloatArray, name: str, title: str) -> None:
    """Draw the error against the mean of prediction and label, with its mean and limits of agreement.

    Bland and Altman 1986, "Statistical methods for assessing agreement between two methods of clinical
    measurement": the limits are 1.96 standard deviations of the error to both sides of its mean.

    Args:
        path: PNG to write.
        predicted: ``(scan,)``, at least one.
        targets: ``(scan,)``.
        name: Of the number.
        title: Above the axes.
    """
    error = predicted - targets
    bias, reach = float(error.mean()), 1.96 * float(error.std(ddof=1)) if len(error) > 1 else 0.0
    with drawing(path, 6.4, 5.2) as figure:
        axes = figure.add_subplot()
        axes.axhline(0, color=FAINT, linewidth=1)
        for height, style in ((bias, "-"), (bias - reach, "--"), (bias + reach, "--")):
            axes.axhline(height, color=CLASS_COLOURS[1], linewidth=1.5, linestyle=style)
            axes.annotate(
                f"{height:.3g}", (1.0, height), xycoords=("axes fraction", "data"), ha="right", va="bottom"
            )
        axes.scatter((predicted + targets) / 2, error, s=18, color=CLASS_COLOURS[0], alpha=0.6, linewidths=0)
        axes.set(title=title, xlabel=f"{name}: mean of label and prediction", ylabel="predicted - label")
        axes.grid(visible=True)
        axes.set_axisbelow(True)


def _limits(values: FloatArray) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    margin = 0.05 * (high - low) or 1.0
    return low - margin, high + margin

"""Pictures of a study and of runs: PNG bytes, drawn without a display."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping, Sequence

import matplotlib as mpl
import numpy as np
import optuna
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from optuna.trial import TrialState

from scanlens.evaluation.figures import COLOURS, DASHES, STYLE


def as_png(figure: Figure) -> bytes:
    """A figure as a PNG file's bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight", metadata={"Software": None})
    return buffer.getvalue()


def study_pictures(study: optuna.Study, importance: Mapping[str, float]) -> dict[str, bytes]:
    """Optimisation history and parallel coordinates by Optuna, and importances; those that there are."""
    from optuna.visualization import matplotlib as drawn

    complete = study.get_trials(states=(TrialState.COMPLETE,))
    pictures: dict[str, bytes] = {}
    if not complete:
        return pictures
    pictures["history"] = _by_optuna(drawn.plot_optimization_history, study)
    if len(complete) > 1:
        pictures["parallel_coordinates"] = _by_optuna(drawn.plot_parallel_coordinate, study)
    if importance:
        pictures["importance"] = bars(importance, "Share of the variation explained (fANOVA)")
    return pictures


def _by_optuna(draw: Callable[..., object], study: optuna.Study) -> bytes:
    # Optuna draws with pyplot, whose figures live until they are closed.
    mpl.use("Agg")
    from matplotlib import pyplot

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        axes = draw(study)
    figure = np.ravel(np.asarray(axes, dtype=object))[0].figure
    figure.set_size_inches(9, 4.5)
    try:
        return as_png(figure)
    finally:
        pyplot.close(figure)


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def bars(values: Mapping[str, float], title: str) -> bytes:
    """Horizontal bars, the largest on top."""
    ordered = sorted(values.items(), key=lambda item: item[1])
    with mpl.rc_context(STYLE):
        figure = _figure(7, 1.2 + 0.35 * len(ordered))
        axes = figure.add_subplot()
        axes.barh([name for name, _ in ordered], [value for _, value in ordered], color=COLOURS[0])
        axes.set(title=title, xlim=(0, 1))
        return as_png(figure)


def intervals(
    names: Sequence[str], values: Sequence[tuple[float, float | None, float | None]], title: str
) -> bytes:
    """A value with its interval a run, the first run on top.

    Args:
        names: Of the runs.
        values: ``(value, low, high)``; None where there is no interval.
        title: Above the axes.
    """
    with mpl.rc_context(STYLE):
        figure = _figure(8, 1.2 + 0.34 * len(names))
        axes = figure.add_subplot()
        for position, (value, low, high) in enumerate(values):
            if low is not None and high is not None:
                axes.plot([low, high], [position, position], color=COLOURS[0], linewidth=2)
            axes.plot([value], [position], "o", color=COLOURS[0], markersize=6)
        axes.set_yticks(range(len(names)), names)
        axes.set(title=title, ylim=(len(names) - 0.4, -0.6))
        axes.grid(visible=True, axis="x")
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        return as_png(figure)


def curves(series: Mapping[str, Sequence[tuple[int, float]]], title: str) -> bytes:
    """One line a run over the epochs.

    Args:
        series: ``{run: [(epoch, value), ...]}``.
        title: Above the axes.
    """
    with mpl.rc_context(STYLE):
        figure = _figure(8, 4.2)
        axes = figure.add_subplot()
        for position, (name, points) in enumerate(series.items()):
            epochs, values = zip(*sorted(points), strict=True)
            axes.plot(
                [epoch + 1 for epoch in epochs],
                values,
                color=COLOURS[position % len(COLOURS)],
                linestyle=DASHES[position // len(COLOURS) % len(DASHES)],
                marker="o" if len(points) == 1 else None,
                linewidth=1.6,
                label=name,
            )
        axes.set(title=title, xlabel="Epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(visible=True)
        figure.legend(loc="outside right upper", fontsize=8)
        return as_png(figure)

"""The probes in pictures: what the network was shown, what came of it, where its maps lie on average."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scanlens.evaluation.figures import CLASS_COLOURS, FAINT, INK, drawing
from scanlens.pictures.shown import shown
from scanlens.shortcuts.views import VIEWS
from scanlens.shortcuts.wording import QUESTIONS, REMAINS, TOLD
from scanlens.types import FloatArray, ImageArray

VERDICT_COLOURS = {"found": CLASS_COLOURS[1], "not found": CLASS_COLOURS[2], "cannot tell": CLASS_COLOURS[7]}


def draw_examples(
    path: Path, examples: dict[int, dict[str, ImageArray]], labels: Sequence[str], colour: bool
) -> None:
    """One row per scan, one column per view: exactly what the network was shown.

    Args:
        path: PNG to write.
        examples: As :class:`scanlens.shortcuts.asking.Answers` keeps them.
        labels: Of every scan, by position.
        colour: Whether three channels are red, green and blue.
    """
    names = ("", *VIEWS)
    with drawing(path, 1.75 * len(names), 1.85 * len(examples) + 0.35) as figure:
        axes = figure.subplots(len(examples), len(names), squeeze=False)
        for row, (position, views) in zip(axes, sorted(examples.items()), strict=True):
            for one, name in zip(row, names, strict=True):
                one.imshow(
                    _picture(views[name], colour), cmap="gray", vmin=0, vmax=1, interpolation="nearest"
                )
                one.set(xticks=[], yticks=[])
                one.spines[:].set_visible(False)
            row[0].set_ylabel(labels[position], fontsize=9)
        for one, name in zip(axes[0], names, strict=True):
            title = QUESTIONS[name].title if name else "As it is"
            one.set_title(title, fontsize=9, loc="center", fontweight="normal")


def draw_bars(path: Path, facts: dict[str, Any]) -> None:
    """Every probe's number with its interval, against the smallest that matters; one panel a measure.

    The faint line of an AUC is chance.

    Args:
        path: PNG to write.
        facts: As :func:`scanlens.shortcuts.run.probe_shortcuts` returns them.
    """
    panels: dict[str, list[dict[str, Any]]] = {}
    for probe in facts["probes"]:
        # One class against the rest belongs beside the mean over classes.
        panels.setdefault(probe["measure"].partition(", ")[0], []).append(probe)
    heights = [len(probes) + 1.2 for probes in panels.values()]
    with drawing(path, 7.6, 0.42 * sum(heights) + 0.6) as figure:
        axes = figure.subplots(len(panels), 1, height_ratios=heights, squeeze=False)[:, 0]
        for one, (measure, probes) in zip(axes, panels.items(), strict=True):
            for row, probe in enumerate(probes):
                _draw_probe(one, row, probe)
            one.set_yticks(range(len(probes)), [probe["title"] for probe in probes])
            one.set_ylim(len(probes) - 0.4, -0.6)
            one.set_title(f"{measure} (dashed: from here on it matters)", fontsize=10, fontweight="normal")
            one.grid(visible=True, axis="x")
            one.set_axisbelow(True)
            if measure in (REMAINS, TOLD):
                one.axvline(0.5, color=FAINT, linewidth=1)
            one.margins(x=0.14)


def draw_averages(path: Path, average: FloatArray, labels: Sequence[str]) -> None:
    """The mean probability map of each class over the scans labelled so, on one scale from 0 to 1.

    Args:
        path: PNG to write.
        average: ``(class, *grid)``; of a volume the greatest value along the depth is drawn.
        labels: Names of the classes.
    """
    maps = average if average.ndim == 3 else average.max(axis=1)
    with drawing(path, 2.3 * len(labels) + 0.8, 2.6) as figure:
        axes = figure.subplots(1, len(labels), squeeze=False)[0]
        for one, values, label in zip(axes, maps, labels, strict=True):
            # One scale for all classes: probabilities are comparable, and never rescaled a picture.
            drawn = one.imshow(values, cmap="plasma", vmin=0, vmax=1, interpolation="nearest")
            one.set(xticks=[], yticks=[])
            one.set_title(label, fontsize=9, loc="center", fontweight="normal")
        figure.colorbar(drawn, ax=list(axes), label="mean probability", shrink=0.85)


def _draw_probe(axes: Any, row: int, probe: dict[str, Any]) -> None:
    if probe["low"] is None:
        axes.text(
            0.02,
            row,
            "cannot tell",
            transform=axes.get_yaxis_transform(),
            va="center",
            color=INK,
            fontsize=8,
        )
        return
    colour = VERDICT_COLOURS[probe["verdict"]]
    axes.vlines(probe["threshold"], row - 0.45, row + 0.45, color=INK, linewidth=1.2, linestyle=(0, (2, 1)))
    axes.plot([probe["low"], probe["high"]], [row, row], color=colour, linewidth=6, alpha=0.35)
    axes.plot(probe["value"], row, "o", color=colour, markersize=7)
    axes.annotate(
        f"{probe['value']:.2f}  {probe['verdict']}{': ' + probe['label'] if 'label' in probe else ''}",
        (probe["high"], row),
        xytext=(6, 0),
        textcoords="offset points",
        va="center",
        fontsize=8,
        color=colour,
    )


def _picture(image: ImageArray, colour: bool) -> ImageArray:
    """``(height, width)`` or ``(height, width, 3)``: of a volume the middle slice."""
    channels = shown(image, colour)
    flat = channels if channels.ndim == 3 else channels[:, channels.shape[1] // 2]
    return np.clip(flat[0] if len(flat) == 1 else np.moveaxis(flat, 0, -1), 0, 1)

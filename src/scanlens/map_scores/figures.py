"""The pictures of the scores: curves with their controls, lesion scores beside chance, the cascade."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from scanlens.evaluation.figures import CLASS_COLOURS, FAINT, drawing
from scanlens.map_scores.controls import EDGES, RANDOM

_NAMES = {
    "probability_map": "probability map",
    "evidence_map": "evidence map",
    "grad_cam": "Grad-CAM",
    RANDOM: "random map (control)",
    EDGES: "edges of the scan (control)",
    "deletion": "Deletion (lower is better)",
    "insertion": "Insertion (higher is better)",
    "road_morf": "ROAD, most relevant first (lower)",
    "road_lerf": "ROAD, least relevant first (higher)",
    "pointing_game": "Pointing game",
    "mass_in_mask": "Mass in mask",
    "average_precision": "Average precision",
}
CONTROL_LOOKS = {RANDOM: ("#7b8794", "--"), EDGES: ("#7b8794", ":")}


def draw_curves(path: Path, facts: Mapping[str, Any]) -> None:
    """Draw the four curves of every kind of map, with intervals.

    Args:
        path: PNG to write.
        facts: Of :func:`scanlens.map_scores.run.score_maps`.
    """
    fidelity = facts["fidelity"]
    with drawing(path, 9.6, 8.2) as figure:
        if not fidelity["scans"]:
            _left_out(figure.add_subplot(), fidelity["reason"])
            return
        grid = figure.subplots(2, 2, sharey=True)
        for axes, (name, shares) in zip(grid.flat, fidelity["fractions"].items(), strict=True):
            for kind, (colour, dash) in looks(facts).items():
                curve = fidelity["kinds"][kind]["curves"][name]
                axes.plot(shares, curve["value"], dash, color=colour, linewidth=2, label=named(kind))
                if None not in curve["low"]:
                    axes.fill_between(
                        shares, curve["low"], curve["high"], color=colour, alpha=0.12, linewidth=0
                    )
            axes.set(xlim=(0, 1), ylim=(0, 1.005), title=_NAMES[name])
            axes.set(xlabel=f"share of pixels {'put back' if name == 'insertion' else 'taken out'}")
            axes.grid(visible=True)
            axes.set_axisbelow(True)
        for axes in grid[:, 0]:
            axes.set(ylabel="probability of the predicted class")
        handles, labels = grid[0, 0].get_legend_handles_labels()
        title = f"mean of {fidelity['scans']} scans, with interval"
        figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)), title=title)


def draw_lesions(path: Path, facts: Mapping[str, Any]) -> None:
    """Draw lesion scores as bars with intervals, and chance as a line.

    Args:
        path: PNG to write.
        facts: Of :func:`scanlens.map_scores.run.score_maps`.
    """
    lesions = facts["lesions"]
    with drawing(path, 10.4, 1.9 + 0.42 * (len(looks(facts)) + 1)) as figure:
        if not lesions["scans"]:
            _left_out(figure.add_subplot(), lesions["reason"])
            return
        bars = {named(kind): (lesions["kinds"][kind], colour) for kind, (colour, _) in looks(facts).items()}
        levels = facts["randomisation"].get("levels")
        if levels:
            whole = levels[-1]["kinds"]
            bars |= {f"{named(kind)}, random weights": (scores, FAINT) for kind, scores in whole.items()}
        figure.set_figheight(1.7 + 0.36 * len(bars))
        panels = figure.subplots(1, 3, sharey=True)
        for axes, score in zip(panels, ("pointing_game", "mass_in_mask", "average_precision"), strict=True):
            for index, (scores, colour) in enumerate(bars.values()):
                _bar(axes, index, scores[score], colour)
            axes.axvline(lesions["chance"]["value"], color="#1f2933", linewidth=1, linestyle="--")
            axes.set(title=_NAMES[score], xlabel="mean over scans")
            axes.set_xlim(left=0)
            axes.grid(visible=True, axis="x")
            axes.set_axisbelow(True)
        panels[0].set_yticks(range(len(bars)), list(bars))
        panels[0].invert_yaxis()
        panels[0].set_xlim(0, 1)
        figure.supxlabel(f"{lesions['scans']} scans with a lesion; dashes: chance", fontsize=9)


def draw_randomisation(path: Path, facts: Mapping[str, Any]) -> None:
    """Draw how alike maps stay, and how well they find lesions, as the weights go.

    Args:
        path: PNG to write.
        facts: Of :func:`scanlens.map_scores.run.score_maps`.
    """
    part = facts["randomisation"]
    with drawing(path, 9.6, 4.4) as figure:
        if not part["scans"]:
            _left_out(figure.add_subplot(), part["reason"])
            return
        lesions = facts["lesions"]
        panels = {"spearman": "Rank correlation", "ssim": "Structural similarity"}
        if lesions["scans"]:
            panels["average_precision"] = "Average precision"
        drawn = figure.subplots(1, len(panels))
        for axes, (score, title) in zip(np.atleast_1d(drawn), panels.items(), strict=True):
            for kind, (colour, dash) in looks(facts).items():
                if kind not in part["levels"][0]["kinds"]:
                    continue
                first = {"value": 1.0, "low": 1.0, "high": 1.0}
                if score == "average_precision":
                    first = lesions["kinds"][kind][score]
                points = [first, *(level["kinds"][kind][score] for level in part["levels"])]
                shares = [0.0, *(level["share"] for level in part["levels"])]
                axes.plot(
                    shares,
                    [one["value"] for one in points],
                    dash,
                    color=colour,
                    marker="o",
                    label=named(kind),
                )
                if all(one["low"] is not None for one in points):
                    low, high = ([one[end] for one in points] for end in ("low", "high"))
                    axes.fill_between(shares, low, high, color=colour, alpha=0.12, linewidth=0)
            chance = lesions["chance"]["value"] if score == "average_precision" else 0.0
            axes.axhline(chance, color="#7b8794", linewidth=1, linestyle="--")
            axes.set(xlim=(0, 1), xlabel="share of layers with random weights", title=title)
            axes.grid(visible=True)
            axes.set_axisbelow(True)
        title = "similarity is with the trained network's maps; dashes: none, or chance"
        handles, labels = np.atleast_1d(drawn)[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4, title=title)


def named(kind: str) -> str:
    """A kind of map as text."""
    return _NAMES.get(kind, kind.replace("_", " "))


def looks(facts: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Colour and dash of every kind and control."""
    kinds = {
        kind: (CLASS_COLOURS[index % len(CLASS_COLOURS)], "-") for index, kind in enumerate(facts["kinds"])
    }
    return {**kinds, **CONTROL_LOOKS}


def _bar(axes: Axes, index: int, estimate: Mapping[str, float | None], colour: str) -> None:
    value, low, high = (estimate[key] for key in ("value", "low", "high"))
    if value is None:
        return
    axes.barh(index, value, color=colour, height=0.62)
    if low is not None and high is not None:
        axes.plot([low, high], [index, index], color="#1f2933", linewidth=1.5, solid_capstyle="butt")


def _left_out(axes: Axes, reason: str) -> None:
    axes.text(0.5, 0.5, f"Left out: {reason}.", ha="center", va="center", wrap=True)
    axes.set_axis_off()

"""One page for a whole run: what matters of every report, where the rest lies, and where the time went.

It reads the reports alone, so that another look costs nothing. What a stage left out is not shown.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from scanlens.atomic import write_text
from scanlens.estimate import Estimate
from scanlens.pages.render import embedded, render
from scanlens.types import Facts

INDEX_PAGE = "index.html"
_STAGES = (
    "acquire", "manifest", "preprocess", "synthesis", "augmentation", "pretraining", "training", "ensemble",
    "evaluation", "explanation", "map_scores", "shortcuts", "packaging",
)  # fmt: skip
_LINKS = (
    ("Data quality", "data_quality.html", "what was refused and why, what leaks"),
    ("Report", "report.html", "how good, with intervals; calibration"),
    ("Maps", "../08_maps/gallery.html", "where the evidence lies, scan by scan"),
    ("Shortcuts", "shortcuts/shortcuts.html", "does the network judge by a marker?"),
    ("Scores of maps", "map_scores/map_lesions.png", "do maps hit lesions? against controls"),
    ("Made scans", "../04_synthetic/sheet.png", "the generator's scans beside real ones"),
    ("Changed scans", "../05_augmented/sheet.png", "the class-balanced bank"),
    ("Model card", "../09_bundle/MODEL_CARD.md", "what a person must know before using the bundle"),
)
"""Title, path relative to the page, and what it answers."""
_PICTURES = {
    "roc": "Sensitivity against false alarms.",
    "reliability": "Dots on the diagonal: right as often as confident.",
    "scatter": "Predicted against true.",
}
"""Figures of the evaluation that the page shows."""


@dataclass(frozen=True)
class Figure:
    """A number on top of the page.

    Attributes:
        title: What it is.
        value: Formatted, with its unit.
        note: Interval, chance, or what it is of.
        bad: Whether it asks for a look.
    """

    title: str
    value: str
    note: str = ""
    bad: bool = False


def write_index(reports: Path) -> Facts:
    """Write :data:`INDEX_PAGE` into the folder of the reports.

    Args:
        reports: Holds ``<stage>.json`` of the stages that ran; the other outputs lie beside it.

    Returns:
        Facts for ``index.json``: ``seconds_by_stage`` (evaluation keeps none: two runs write the same
        bytes) and ``links``, the paths that the page leads to.
    """
    found = {stage: _read(reports / f"{stage}.json") for stage in _STAGES}
    members = [_read(path) for path in sorted((reports / "members").glob("*.json"))]
    found["training"] = {"seconds": sum(float(one.get("seconds", 0)) for one in members)} if members else {}
    seconds = {stage: float(facts["seconds"]) for stage, facts in found.items() if "seconds" in facts}
    links = [link for link in _LINKS if (reports / link[1]).is_file()]
    total = sum(seconds.values())
    page = render(
        "index/page.html.j2",
        figures=key_figures(found),
        links=links,
        warnings=[*found["manifest"].get("warnings", []), *found["evaluation"].get("warnings", [])],
        images=embedded(reports / "figures", _PICTURES),
        captions=_PICTURES,
        times=[(stage, value, value / total if total else 0.0) for stage, value in seconds.items()],
        total=total,
    )
    write_text(reports / INDEX_PAGE, page)
    return {"seconds_by_stage": seconds, "links": [path for _, path, _ in links]}


def time_table(seconds: dict[str, float]) -> str:
    """Where the time went, a line per stage.

    Example:
        >>> print(time_table({"acquire": 15.0, "training": 45.0}))
        acquire     15.0 s   25 %
        training    45.0 s   75 %
    """
    total = sum(seconds.values()) or 1.0
    width = max((len(stage) for stage in seconds), default=0) + 2
    return "\n".join(
        f"{stage:<{width}}{value:7.1f} s {100 * value / total:4.0f} %" for stage, value in seconds.items()
    )


def key_figures(found: dict[str, Facts]) -> list[Figure]:
    """The numbers that matter, of the stages that have any.

    Args:
        found: Reports by stage; an empty one is left out.
    """
    return [
        *_of_scans(found["manifest"]),
        *_of_evaluation(found["evaluation"]),
        *_of_maps(found["map_scores"]),
        *_of_shortcuts(found["shortcuts"]),
    ]


def _read(path: Path) -> Facts:
    if not path.is_file():
        return {}
    content: Facts = json.loads(path.read_text(encoding="utf-8"))
    return content


def _number(title: str, entry: Facts, note: str = "") -> Figure:
    estimate = Estimate.from_json(entry)
    if estimate.value is None:
        return Figure(title, "-", estimate.reason)
    interval = "" if estimate.low is None else f"{estimate.low:.3f} to {estimate.high:.3f}"
    return Figure(title, f"{estimate.value:.3f}", ", ".join(filter(None, (interval, note))))


def _of_scans(manifest: Facts) -> list[Figure]:
    if not manifest:
        return []
    refused = int(manifest["quarantined"])
    splits = ", ".join(
        f"{name} {sum(classes.values())}" for name, classes in manifest.get("splits", {}).items()
    )
    return [
        Figure("Scans accepted", f"{manifest['accepted']:,}", splits or f"of {manifest['scans']:,}"),
        Figure("In quarantine", f"{refused:,}", "each with its reason", bad=refused > 0),
    ]


def _of_evaluation(evaluation: Facts) -> list[Figure]:
    if not evaluation:
        return []
    test = evaluation["test"]
    wanted = (("auc_macro", "Test AUC"), ("accuracy", "Test accuracy"), ("mae", "Test mean error"))
    shown = [_number(title, test[name]) for name, title in wanted if name in test]
    if "ece" in test:
        before = evaluation.get("calibration", {}).get("test", {}).get("before", {}).get("ece")
        note = "" if before is None else f"{before:.3f} without calibration"
        shown.append(_number("Calibration error", test["ece"], note))
    sets = evaluation.get("sets", {}).get("test", {})
    if "coverage" in sets:
        shown.append(
            _number(
                "Sets that hold the truth",
                sets["coverage"],
                f"{evaluation['settings']['confidence']:g} promised",
            )
        )
    if "abstained" in sets:
        shown.append(_number("Passed on to a person", sets["abstained"], "share of scans"))
    return shown


def _of_maps(scores: Facts) -> list[Figure]:
    lesions = scores.get("lesions", {})
    found = lesions.get("kinds", {}).get("probability_map")
    if not found:
        return []
    titles = (
        ("pointing_game_near", "chance_near", "Map's peak at the lesion"),
        ("pointing_game", "chance", "In it, to the pixel"),
    )
    return [
        _number(title, found[name], f"chance {lesions[chance]['value']:.3f}")
        for name, chance, title in titles
    ]


def _of_shortcuts(shortcuts: Facts) -> list[Figure]:
    if "verdict" not in shortcuts:
        return []
    verdict = str(shortcuts["verdict"])
    return [Figure("Shortcuts", verdict, str(shortcuts["sentence"]), bad=verdict == "found")]

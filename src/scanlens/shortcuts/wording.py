"""What each probe asks, what its number is, from where on it matters, and what a reader can do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from scanlens.estimate import Estimate
from scanlens.shortcuts.verdicts import ProbeVerdict

REMAINS, LOST = "AUC that remains", "AUC lost"
TOLD = "AUC of the column from features"
OVER_AREA = "Share of mass over share of area"
CORRELATION = "Rank correlation"

CROP = (
    "preprocess.crop=foreground (fan for ultrasound) takes away what surrounds the body; what lies on it "
    "must be blackened in the source files."
)
MARKS = (
    "Blacken the marks in the source files, or use the same ones for every class; preprocess.crop=foreground "
    "removes those beside the body."
)
ORIGIN = (
    "Collect every class from every {column}; else test on an unseen one (manifest.split.method=site where "
    "it is the site) and report each apart."
)


@dataclass(frozen=True)
class Question:
    """One probe in words.

    Attributes:
        title: Of the probe.
        measure: What its number is.
        threshold: The smallest number that matters, fixed on validation splits (docs/shortcuts.md).
        found: What a number above the threshold means.
        remedy: What can be done about it.
    """

    title: str
    measure: str
    threshold: float
    found: str
    remedy: str


QUESTIONS: dict[str, Question] = {
    "border_only": Question(
        "Border only",
        REMAINS,
        0.65,
        "The border alone, with the same picture in the middle of every scan, gives the label away.",
        CROP,
    ),
    "corners_masked": Question(
        "Corners masked",
        LOST,
        0.05,
        "Without the corners the network does worse: it reads something there.",
        CROP,
    ),
    "corners_swapped": Question(
        "Corners exchanged",
        LOST,
        0.05,
        "With another patient's corners the network does worse: it reads something there.",
        CROP,
    ),
    "background_masked": Question(
        "Background masked",
        LOST,
        0.05,
        "Without what surrounds the body the network does worse: it reads something there.",
        CROP,
    ),
    "foreground_masked": Question(
        "Body masked",
        REMAINS,
        0.75,
        "What surrounds the body, with the body's outline, gives the label away.",
        CROP,
    ),
    "marks_masked": Question(
        "Marks masked",
        LOST,
        0.05,
        "Without the burned-in marks the network does worse: it reads them.",
        MARKS,
    ),
    "marks_only": Question(
        "Marks only",
        REMAINS,
        0.65,
        "The burned-in marks alone give the label away.",
        MARKS,
    ),
    "map_border": Question(
        "Map mass in the border",
        OVER_AREA,
        1.1,
        "The maps of the predicted classes lie on the border more than on the rest.",
        CROP,
    ),
    "map_corners": Question(
        "Map mass in the corners",
        OVER_AREA,
        1.1,
        "The maps of the predicted classes lie in the corners more than on the rest.",
        CROP,
    ),
    "map_outside": Question(
        "Map mass outside of the body",
        OVER_AREA,
        1.1,
        "The maps of the predicted classes lie outside of the body more than on it.",
        CROP,
    ),
    "marks_area": Question(
        "Map mass and area of marks",
        CORRELATION,
        0.25,
        "The maps' mass goes with the area of the burned-in marks: marks go with the judgement.",
        MARKS,
    ),
}
TOLD_FROM, TOGETHER_FROM = 0.7, 0.3
"""AUC from which features tell a column, and Cramér's V from which it goes with the label."""


def _origin_question(column: str) -> Question:
    """The question about a column of the manifest."""
    return Question(
        f"Origin: {column}",
        TOLD,
        TOLD_FROM,
        "",
        ORIGIN.format(column=column),
    )


def origin_fact(
    column: str, seen: Estimate, together: Estimate, verdict: ProbeVerdict, values: list[str]
) -> dict[str, Any]:
    """The entry of a column of the manifest.

    Args:
        column: Its name.
        seen: AUC from features.
        together: Cramér's V with the label.
        verdict: On both.
        values: Of the column.
    """
    entry = fact(
        f"origin_{column}",
        _origin_question(column),
        seen,
        verdict,
        values=values,
        cramers_v={**together.bounds(), "threshold": TOGETHER_FROM},
    )
    if not seen.reason:
        numbers = (
            f"AUC of the {column} from features {seen.text()}, {TOLD_FROM:g} matters; Cramér's V of the "
            f"{column} and the label {together.text()}, {TOGETHER_FROM:g} matters."
        )
        words = {
            "found": f"The features tell the {column}, which goes with the label: it may judge by origin.",
            "not found": f"The features do not tell the {column}, or it does not go with the label.",
            "cannot tell": "More test patients would tell.",
        }
        entry["sentence"] = f"{words[verdict]} {numbers}"
    return entry


def fact(
    name: str, question: Question, estimate: Estimate, verdict: ProbeVerdict, **details: Any
) -> dict[str, Any]:
    """One probe's entry in ``shortcuts.json``.

    Args:
        name: Of the probe.
        question: In words.
        estimate: Its number; ``reason`` says why there is none.
        verdict: On it.
        details: Further plain values.
    """
    return {
        "probe": name,
        "title": question.title,
        "verdict": verdict,
        "measure": question.measure,
        **estimate.bounds(),
        "threshold": question.threshold,
        "sentence": _sentence(question, estimate, verdict),
        "remedy": question.remedy if verdict == "found" else None,
        **details,
    }


def _sentence(question: Question, estimate: Estimate, verdict: ProbeVerdict) -> str:
    if estimate.reason:
        return f"Cannot tell: {estimate.reason}."
    number = f"{question.measure} {estimate.text()}"
    if verdict == "found":
        return f"{question.found} {number}, and {question.threshold:g} matters."
    if verdict == "not found":
        return f"{number}: what matters begins at {question.threshold:g}."
    return f"{number} holds the {question.threshold:g} from which it matters: more test patients would tell."

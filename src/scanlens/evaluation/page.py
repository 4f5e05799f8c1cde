"""How the report of classes is laid out."""

from __future__ import annotations

from scanlens.evaluation.page_parts import Page
from scanlens.types import Facts

_CAPTIONS = {
    "roc": "Sensitivity against false alarms at every threshold.",
    "confusion": "What each class was taken for; percent of the actual class.",
    "reliability": "Dots on the diagonal: right as often as confident. Larger dots stand for more scans.",
}


def _headlines(facts: Facts) -> dict[str, object]:
    """The four test numbers on top by title; of two classes, the positive one's."""
    test, positive = facts["test"], facts["positive"]
    cards = {"AUC": test["auc_macro"], "Accuracy": test["accuracy"]}
    if positive is not None:
        label = positive["label"]
        numbers = facts["per_class"]["test"][label]
        return {
            "cards": cards
            | {
                f"Sensitivity for {label}": numbers["sensitivity"],
                f"Specificity for {label}": numbers["specificity"],
            }
        }
    means = {"Sensitivity": test["sensitivity_macro"], "Specificity": test["specificity_macro"]}
    return {"cards": cards | means}


CLASS_PAGE = Page("evaluation/classes.html.j2", _CAPTIONS, "%.3f", _headlines)

"""The page of a comparison, of runs made by hand: nothing gets out of its place, and long lists fold away."""

from __future__ import annotations

from typing import Any

from scanlens.search.comparison import Comparison
from scanlens.search.page import FEW, MOST_CURVES, render_page
from scanlens.tracking.compare import TrackedRun

HOSTILE = "<script>{{ 7 * 7 }}</script>"


def runs(count: int, keys: int = 1, **changes: Any) -> list[TrackedRun]:
    made = []
    for number in range(count):
        settings = {f"key{k}": f"{number}" for k in range(keys)}
        known = {"name": f"run{number}", "status": "FINISHED", "choices": {}, "changed": settings, **changes}
        metrics = {"val_loss": 0.5 + number, "test.auc_macro": 0.75}
        made.append(TrackedRun(id=f"{number}", started="", metrics=metrics, settings={}, data="", **known))
    return made


def page(found: list[TrackedRun], **changes: Any) -> str:
    settings: dict[str, Any] = {
        "by": "val_loss", "study": "", "curves": {}, "tested": None, "test": None, "reason": "too few",
        "notes": [], "target": "",
    }  # fmt: skip
    return render_page(Comparison(runs=found, **{**settings, **changes}))


def test_words_from_outside_are_escaped_and_not_evaluated() -> None:
    found = runs(2, name=HOSTILE, status=HOSTILE, changed={HOSTILE: HOSTILE})
    text = page(found, notes=[HOSTILE], reason=HOSTILE) + page(found, study=HOSTILE)
    assert "<script" not in text
    assert "{{ 7 * 7 }}" in text
    assert "http" not in text


def test_notes_are_a_list_only_where_there_are_some() -> None:
    assert '<ul class="warnings">' not in page(runs(2))
    assert "<li>mind the gap</li>" in page(runs(2), notes=["mind the gap"])


def test_the_order_is_said_with_its_direction() -> None:
    assert "ordered by val_loss (the\nsmallest first)" in page(runs(2))
    assert "ordered by test.auc_macro (the\nlargest first)" in page(runs(2), by="test.auc_macro")
    assert "ordered by" not in page(runs(2), by="")


def test_more_settings_than_fit_get_a_table_of_their_own() -> None:
    assert "Settings that differ" not in page(runs(2, keys=FEW))
    assert "Settings that differ" in page(runs(2, keys=FEW + 1))


def test_the_two_that_were_tested_are_marked() -> None:
    assert page(runs(3), tested=("run0", "run2")).count('<tr class="best">') == 2
    assert page(runs(3)).count('<tr class="best">') == 0


def test_no_more_curves_are_drawn_than_can_be_told_apart() -> None:
    many = runs(MOST_CURVES + 1)
    curves = {"val_loss": {run.name: [(0, 1.0), (1, 0.5)] for run in many}}
    text = page(many, curves=curves)
    assert text.count('<img alt="Validation loss"') == 1
    assert text.count("data:image/png;base64,") == 2

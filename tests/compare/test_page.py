"""The page of a comparison, of runs made by hand: nothing gets out of its place, and long lists fold away."""

from __future__ import annotations

from typing import Any

from scanlens.compare.comparison import FEW, Comparison
from scanlens.compare.page import render_page
from scanlens.tracking.compare import TrackedRun

HOSTILE = "<script>{{ 7 * 7 }}</script>"


def page(count: int = 2, keys: int = 1, run: dict[str, Any] | None = None, **changes: Any) -> str:
    runs = [
        TrackedRun(
            id=f"{number}", started="", settings={}, data="", choices={},
            metrics={
                "val_loss": 0.5 + number, "test.auc_macro": 0.75,
                "test.auc_macro.low": 0.5, "test.auc_macro.high": 0.875,
            },
            **{"name": f"run{number}", "status": "FINISHED", **(run or {})},
        )
        for number in range(count)
    ]  # fmt: skip
    known: dict[str, Any] = {
        "by": "val_loss", "study": "", "tested": (), "test": None, "reason": "too few", "notes": [],
        "settings": {f"key{k}": [f"{number}" for number in range(count)] for k in range(keys)},
    }  # fmt: skip
    return render_page(Comparison(runs=runs, **{**known, **changes}))


def test_words_from_outside_are_escaped_and_not_evaluated() -> None:
    hostile = {"name": HOSTILE, "status": HOSTILE}
    text = page(run=hostile, notes=[HOSTILE], reason=HOSTILE, settings={HOSTILE: [HOSTILE] * 2})
    text += page(study=HOSTILE)
    assert "<script" not in text
    assert "{{ 7 * 7 }}" in text
    assert "://" not in text


def test_notes_are_a_list_only_where_there_are_some() -> None:
    assert '<ul class="warnings">' not in page()
    assert "<li>mind the gap</li>" in page(notes=["mind the gap"])


def test_the_order_is_said_with_its_direction() -> None:
    assert "ordered by val_loss (the\nsmallest first)" in page()
    assert "ordered by test.auc_macro (the\nlargest first)" in page(by="test.auc_macro")
    assert "ordered by" not in page(by="")


def test_more_settings_than_fit_get_a_table_of_their_own() -> None:
    assert "Settings that differ" not in page(keys=FEW)
    assert "Settings that differ" in page(keys=FEW + 1)


def test_the_two_that_were_tested_are_marked() -> None:
    assert page(3, tested=("run0", "run2")).count('<tr class="best">') == 2
    assert page(3).count('<tr class="best">') == 0


def test_an_interval_is_a_line_from_its_low_to_its_high_end() -> None:
    text = page(1)
    assert '0.7500 <span class="interval">(0.500-0.875)</span>' in text
    assert 'd="M50.0 5H87.5M75.0 0V10"' in text
    assert text.count("<svg") == 1, "the loss has no interval"

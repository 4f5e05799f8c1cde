from __future__ import annotations

from pathlib import Path

import numpy as np

from scanlens.estimate import Estimate
from scanlens.shortcuts.page import write_shortcuts_page
from scanlens.shortcuts.views import VIEWS
from scanlens.shortcuts.wording import QUESTIONS, fact, origin_fact
from tests.helpers.readers import planted_store


def test_the_page_says_what_was_found_and_escapes_what_came_from_outside(tmp_path: Path) -> None:
    number = Estimate(0.9, 0.8, 0.95)
    probes = [
        fact("border_only", QUESTIONS["border_only"], number, "found"),
        origin_fact("<b>site</b>", number, number, "found", ["a", "b"]),
    ]
    facts = {
        "verdict": "found", "sentence": "It reads the border.", "scans": 40, "patients": 30, "auc": 0.987,
        "confidence": 0.95, "looks": 2, "probes": probes,
    }  # fmt: skip
    store = planted_store(tmp_path / "store", spatial=(16, 16), patients=2)
    views = {name: np.zeros((1, 16, 16), np.float32) for name in ("", *VIEWS)}
    write_shortcuts_page(tmp_path, facts, {0: views}, ["well"], np.full((2, 4, 4), 0.5), store)
    page = (tmp_path / "shortcuts.html").read_text(encoding="utf-8")
    for words in (
        "It reads the border.",
        "0.90 (0.80 to 0.95)",
        "preprocess.crop=foreground",
        "0.987",
        "40 test",
    ):
        assert words in page
    assert "<b>site" not in page
    assert "://" not in page, "the file needs nothing else"

from __future__ import annotations

import json

import pytest

from scanlens.estimate import Estimate
from scanlens.shortcuts.verdicts import ProbeVerdict
from scanlens.shortcuts.wording import QUESTIONS, fact, origin_fact


@pytest.mark.parametrize("verdict", ["found", "not found", "cannot tell"])
def test_every_verdict_has_its_number_and_a_remedy_where_it_is_needed(verdict: ProbeVerdict) -> None:
    for name, question in QUESTIONS.items():
        entry = fact(name, question, Estimate(0.81, 0.7, 0.9), verdict, auc=0.8)
        assert "0.81 (0.70 to 0.90)" in entry["sentence"]
        assert f"{question.threshold:g}" in entry["sentence"]
        assert (entry["remedy"] is not None) is (verdict == "found")
        assert entry["auc"] == 0.8


def test_what_could_not_be_asked_says_why_and_stays_json() -> None:
    entry = fact(
        "marks_only",
        QUESTIONS["marks_only"],
        Estimate(None, reason="no body stands out"),
        "cannot tell",
    )
    assert entry["sentence"] == "Cannot tell: no body stands out."
    assert json.loads(json.dumps(entry, allow_nan=False))["value"] is None


def test_origins_give_both_numbers() -> None:
    entry = origin_fact(
        "scanner", Estimate(0.9, 0.8, 0.95), Estimate(0.02, 0.0, 0.1), "not found", ["a", "b"]
    )
    assert "0.90 (0.80 to 0.95)" in entry["sentence"]
    assert "0.02 (0.00 to 0.10)" in entry["sentence"]
    assert entry["values"] == ["a", "b"]
    assert (
        "scanner"
        in origin_fact("scanner", Estimate(0.9, 0.8, 0.95), Estimate(0.9, 0.8, 1), "found", ["a", "b"])[
            "remedy"
        ]
    )

"""What stops the run, what is a warning, and the words for both."""

from __future__ import annotations

import pytest

from scanlens.manifest.gate.giveaways import Shortcut
from scanlens.manifest.gate.leakage import Leak
from scanlens.manifest.gate.verdict import LeakageError, judge
from tests.helpers.tiny import leakage

LEAKS = [
    *(Leak("patient", f"{n}.png", f"{n + 100}.png", "train | test", 4) for n in range(30)),
    Leak("copy", "7.png", "8.png", "train | val", 3),
    Leak("near_copy", "7.png", "9.png", "train | val, correlation 0.980", 2, 0.98),
    Leak("contradiction", "5.png", "6.png", "a | b", 2),
]


def test_nothing_found_is_nothing_said():
    assert judge([], [], leakage()) == []


def test_the_refusal_counts_shows_ten_pairs_and_says_what_to_do():
    with pytest.raises(LeakageError) as caught:
        judge(LEAKS, [], leakage(contradictions="refuse"))
    text = str(caught.value)
    assert "30 patients are in two splits or more (120 scans)" in text
    assert "1 group of scans with the same pixels spans two splits" in text
    assert "1 pair of near copies" in text
    assert "1 group of scans with the same pixels carries different labels" in text
    assert "First 10 of 33 (all of them: data/07_reports/leaks.csv)" in text
    assert text.count(".png and ") == 10
    assert "7.png and 9.png (train | val, correlation 0.980)" in text, "a rare kind is shown too"
    for setting in ("split.method=grouped", "leakage.patients=warn", "leakage.copies=warn",
                    "leakage.near_copies=warn", "leakage.contradictions=quarantine"):  # fmt: skip
        assert f"manifest.{setting}" in text


@pytest.mark.parametrize(
    ("kind", "setting"), [("patient", "patients"), ("copy", "copies"), ("near_copy", "near_copies")]
)
def test_each_setting_accepts_its_kind_alone(kind, setting):
    mine = [leak for leak in LEAKS if leak.kind == kind]
    with pytest.raises(LeakageError, match=f"leakage.{setting}=warn"):
        judge(mine, [], leakage())
    warnings = judge(mine, [], leakage(**{setting: "warn"}))
    assert len(warnings) == 1
    with pytest.raises(LeakageError) as caught:
        judge(LEAKS, [], leakage(**{setting: "warn"}))
    assert f"\n  {kind}:" not in str(caught.value)


def test_quarantined_contradictions_are_a_warning():
    leaks = [leak for leak in LEAKS if leak.kind == "contradiction"]
    warnings = judge(leaks, [], leakage(contradictions="quarantine"))
    assert warnings == [
        "1 group of scans with the same pixels carries different labels. They are quarantined."
    ]


def test_a_shortcut_to_the_label_is_refused_and_one_to_a_class_is_a_warning():
    whole, part = Shortcut("device", 0.99, "", 50), Shortcut("source", 1.0, "covid", 50)
    assert "class covid" in judge([], [part], leakage(shortcuts="refuse"))[0]
    with pytest.raises(LeakageError, match=r"device alone tells the label with .* 0\.990") as refused:
        judge([], [part, whole], leakage(shortcuts="refuse"))
    # It may be the column of the patients, and accepting it would leak.
    remedy = str(refused.value).partition("shortcut: ")[2]
    assert remedy.index("data.columns.patient") < remedy.index("shortcuts=warn")
    assert len(judge([], [part, whole], leakage(shortcuts="warn"))) == 2

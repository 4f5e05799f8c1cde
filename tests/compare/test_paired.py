"""Two networks on the same scans, against plain loops and other libraries' arithmetic."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from scanlens.compare.paired import mismatch, paired


def table(
    skill: float, scans: int = 120, classes: int = 3, seed: int = 0, patients: int = 60
) -> pd.DataFrame:
    """Predictions of a network, righter with more ``skill``; the scans are always the same."""
    truth = np.random.default_rng(7).integers(0, classes, scans)
    logits = np.random.default_rng(seed).normal(size=(scans, classes)) + skill * np.eye(classes)[truth]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    names = list("abc")[:classes]
    columns = {f"probability_{name}": probabilities[:, k] for k, name in enumerate(names)}
    return pd.DataFrame(
        {
            "scan_id": [f"s{i}" for i in range(scans)],
            "patient": [f"p{i % patients}" for i in range(scans)],
            "split": "test",
            "label": [names[k] for k in truth],
            **columns,
        }
    )


def naive(first: pd.DataFrame, second: pd.DataFrame, draws: int) -> tuple[float, float]:
    """Bootstrap interval of the accuracy difference by copying scans, patient by patient."""
    generator = np.random.default_rng(5)
    columns = [f"probability_{name}" for name in "abc"]
    right = [t[columns].to_numpy().argmax(axis=1) == t["label"].map("abc".index) for t in (first, second)]
    gaps = []
    for _ in range(draws):
        chosen = generator.integers(0, 60, 60)
        rows = np.concatenate([[p, p + 60] for p in chosen])
        gaps.append(right[0].to_numpy()[rows].mean() - right[1].to_numpy()[rows].mean())
    low, high = np.quantile(gaps, [0.025, 0.975])
    return float(low), float(high)


def test_differences_are_scikit_learns_and_intervals_a_plain_loops() -> None:
    first, second = table(2.0, seed=1), table(1.0, seed=2)
    found = paired(first, second)
    assert (found.scans, found.patients, found.resamples) == (120, 60, 2000)
    auc, accuracy = found.differences
    expected = [
        np.mean([roc_auc_score(t["label"] == n, t[f"probability_{n}"]) for n in "abc"])
        for t in (first, second)
    ]
    assert auc.difference == pytest.approx(expected[0] - expected[1], abs=1e-12)
    low, high = naive(first, second, 4000)
    assert accuracy.low == pytest.approx(low, abs=0.015)
    assert accuracy.high == pytest.approx(high, abs=0.015)
    assert auc.p is not None
    assert auc.p < 0.01


def test_mcnemar_is_the_exact_binomial_sum() -> None:
    found = paired(table(1.5, seed=1), table(1.0, seed=2), resamples=50)
    few, n = min(found.only_first, found.only_second), found.only_first + found.only_second
    expected = min(1.0, 2 * sum(math.comb(n, k) for k in range(few + 1)) / 2**n)
    assert found.mcnemar == pytest.approx(expected, rel=1e-9)


def test_swapping_the_two_turns_the_signs() -> None:
    first, second = table(2.0, seed=1), table(1.0, seed=2)
    there, back = paired(first, second), paired(second, first)
    for one, other in zip(there.differences, back.differences, strict=True):
        assert one.difference == pytest.approx(-other.difference)  # type: ignore[operator]
        assert one.low == pytest.approx(-other.high)  # type: ignore[operator]
        assert one.p == pytest.approx(other.p)
    assert there.mcnemar == back.mcnemar
    assert (there.only_first, there.only_second) == (back.only_second, back.only_first)


def test_a_network_against_itself_shows_nothing() -> None:
    found = paired(table(1.0), table(1.0).sample(frac=1.0, random_state=3))
    assert [d.difference for d in found.differences] == [0.0, 0.0]
    assert [d.p for d in found.differences] == [1.0, 1.0]
    assert found.mcnemar == 1.0


def test_equal_networks_are_told_apart_in_one_of_twenty() -> None:
    draws = [paired(table(1.0, seed=2 * i), table(1.0, seed=2 * i + 1), resamples=300) for i in range(60)]
    false_alarms = sum(d.differences[0].p < 0.05 for d in draws)  # type: ignore[operator]
    assert false_alarms <= 9


def test_grouped_scans_widen_the_interval() -> None:
    # Twelve copies of each patient's scan carry no more than one.
    one = [table(s, scans=20, patients=20, seed=i) for i, s in enumerate((1.5, 1.0))]
    many = [pd.concat([t.assign(scan_id=t["scan_id"] + f"-{k}") for k in range(12)]) for t in one]
    grouped = paired(many[0], many[1]).differences[1]
    alone = [t.assign(patient=t["scan_id"]) for t in many]
    independent = paired(alone[0], alone[1]).differences[1]
    assert grouped.high - grouped.low > 2.5 * (independent.high - independent.low)  # type: ignore[operator]


def test_numbers_are_not_paired_as_classes() -> None:
    numbers = pd.DataFrame({"scan_id": ["a"], "patient": ["p"], "split": ["test"], "label": ["1.5"]})
    assert "predict numbers" in mismatch(numbers, numbers)


def test_two_classes_and_too_few_patients() -> None:
    assert paired(table(1.0, classes=2), table(2.0, classes=2), resamples=50).differences[0].low is not None
    alone = paired(table(1.0, patients=1), table(2.0, patients=1), resamples=50)
    assert alone.resamples == 0
    assert alone.differences[0].low is None
    assert alone.differences[0].difference is not None


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda t: t.assign(split="val"), "no test scan"),
        (lambda t: t.rename(columns={"probability_a": "probability_z"}), "classes differ"),
        (lambda t: t.iloc[:-1], r"test splits differ \(120 and 119 scans, 119 in both\)"),
        (lambda t: t.assign(scan_id="x" + t["scan_id"]), "0 in both"),
        (lambda t: t.assign(label="a"), "labels differ"),
    ],
)
def test_what_cannot_be_paired_says_why(change: object, named: str) -> None:
    import re

    assert mismatch(table(1.0), table(2.0)) == ""
    assert re.search(named, mismatch(table(1.0), change(table(2.0))))  # type: ignore[operator]

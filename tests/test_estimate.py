from __future__ import annotations

import doctest
import json
import math

import numpy as np
import pytest

from scanlens import estimate
from scanlens.estimate import Estimate, json_of


def test_the_examples_run() -> None:
    assert doctest.testmod(estimate).failed == 0


@pytest.mark.parametrize(
    ("found", "spec", "text"),
    [
        (Estimate(0.912, 0.88, 0.9449), ".2f", "0.91 (0.88 to 0.94)"),
        (Estimate(0.912, 0.88, 0.9449), ".3f", "0.912 (0.880 to 0.945)"),
        (Estimate(-0.02, -0.05, 0.01), "+.2f", "-0.02 (-0.05 to +0.01)"),
        (Estimate(41.26), ".3g", "41.3"),
        (Estimate(None, reason="no scan"), ".2f", "undefined"),
    ],
)
def test_it_reads_as_a_number_with_its_interval(found: Estimate, spec: str, text: str) -> None:
    assert found.text(spec) == text
    assert Estimate(None).text(undefined="-") == "-"


def test_json_is_strict_and_comes_back_the_same() -> None:
    entries = {
        "auc": Estimate(np.float32(0.5), np.float64(0.25), 0.75),
        "none": Estimate(math.nan, math.nan, math.inf, "one class"),
        "alone": Estimate(0.5, reason="one patient"),
    }
    content = json.loads(json.dumps(json_of(entries), allow_nan=False))
    assert content["auc"] == {"value": 0.5, "low": 0.25, "high": 0.75}
    assert content["none"] == {"value": None, "low": None, "high": None, "reason": "one class"}
    assert "reason" not in content["alone"], "a value needs no excuse"
    assert Estimate.from_json(content["none"]) == entries["none"]
    assert Estimate.from_json({"value": 1.0}) == Estimate(1.0)


@pytest.mark.parametrize(
    ("low", "high", "above", "below"),
    [(0.6, 0.7, True, False), (0.3, 0.4, False, True), (0.4, 0.6, False, False), (None, None, False, False)],
)
def test_an_interval_lies_above_or_below_altogether(
    low: float | None, high: float | None, above: bool, below: bool
) -> None:
    found = Estimate(0.5, low, high)
    assert (found.above(0.5), found.below(0.5)) == (above, below)

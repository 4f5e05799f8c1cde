"""Bars add up to the scans, and say what they do not show."""

from __future__ import annotations

import numpy as np
import pandas as pd

from scanlens.manifest.histograms import MAX_BARS, categories, distributions, numeric


def test_few_numbers_get_a_bar_each() -> None:
    found = numeric("Height", pd.Series([28, 28, 28, 64, np.nan]))
    assert [(bar.label, bar.count, bar.height) for bar in found.bars] == [("28", 3, 1.0), ("64", 1, 1 / 3)]
    assert (found.numeric, found.unknown) == (False, 1)


def test_many_numbers_are_counted_in_even_ranges() -> None:
    found = numeric("Height", pd.Series(np.arange(1000.0)))
    assert len(found.bars) == MAX_BARS
    assert sum(bar.count for bar in found.bars) == 1000
    assert (found.numeric, found.low, found.high) == (True, "0", "999")
    assert found.bars[0].label == "0 to 49.95"


def test_names_are_sorted_by_count_and_the_rare_ones_joined() -> None:
    found = categories("Modality", pd.Series(["CR"] * 2 + ["DX"] * 3 + [""]))
    assert [(bar.label, bar.count) for bar in found.bars] == [("DX", 3), ("CR", 2)]
    assert found.unknown == 1
    many = categories("Modality", pd.Series([f"{number:02}" for number in range(30)] + ["00"]))
    assert len(many.bars) == MAX_BARS // 2
    assert (many.bars[0].label, many.bars[0].count) == ("00", 2)
    assert (many.bars[-1].label, many.bars[-1].count) == ("21 others", 21)


def test_axes_that_no_scan_has_are_left_out() -> None:
    accepted = pd.DataFrame(
        {
            "shape": [[20, 10], [30, 10]], "spacing": [[], [0.5, 0.25]], "modality": "CR", "photometric": "L",
            "bits": 8, "channels": 1, "orientation": "", "burned_in": "no",
        }
    )  # fmt: skip
    found = {histogram.title: histogram for histogram in distributions(accepted)}
    assert "Depth, pixels" not in found
    assert "Orientation" not in found
    assert [bar.label for bar in found["Height, pixels"].bars] == ["20", "30"]
    assert found["Spacing along the width, mm"].unknown == 1
    assert [bar.label for bar in found["Spacing along the width, mm"].bars] == ["0.25"]
    volumes = accepted.assign(shape=[[5, 20, 10], [6, 30, 10]])
    assert distributions(volumes)[0].title == "Depth, pixels"
    assert distributions(accepted.head(0)) == []

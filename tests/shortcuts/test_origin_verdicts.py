"""An origin is a shortcut only where the features tell it and it goes with the label."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scanlens.shortcuts.origin_verdicts import judge_origin
from scanlens.shortcuts.origins import origins
from scanlens.shortcuts.verdicts import Resampling
from tests.helpers.tiny import write_store

SHARED = Resampling(looks=2, resamples=500, confidence=0.95, seed=0)


@pytest.mark.parametrize(
    ("told", "goes_with_label", "verdict"),
    [(True, True, "found"), (True, False, "not found"), (False, True, "not found")],
)
def test_both_must_hold(tmp_path: Path, told: bool, goes_with_label: bool, verdict: str) -> None:
    store = write_store(tmp_path, train=100, other=1)
    rng = np.random.default_rng(1)
    targets = store.targets(np.arange(len(store.index)))
    south = targets if goes_with_label else rng.integers(2, size=len(targets))
    store.index["site"] = np.where(south, "south", "north")
    (origin,) = origins(store.index)
    features = rng.normal(size=(len(targets), 3)) + 4 * told * south[:, None]
    entry = judge_origin(origin, features, store, store.index, "", SHARED)
    assert entry["verdict"] == verdict
    assert (entry["value"] > 0.9) is told
    assert (entry["cramers_v"]["value"] > 0.9) is goes_with_label
    assert entry["values"] == ["north", "south"]


def test_a_reason_that_holds_for_all_probes_is_said(tmp_path: Path) -> None:
    store = write_store(tmp_path, train=100, other=1)
    store.index["site"] = np.where(np.arange(len(store.index)) % 2, "south", "north")
    (origin,) = origins(store.index)
    features = np.random.default_rng(0).normal(size=(len(store.index), 3))
    entry = judge_origin(origin, features, store, store.index, "too few patients", SHARED)
    assert entry["verdict"] == "cannot tell"
    assert "too few patients" in str(entry["sentence"])

"""Each reason for quarantine, and its absence just inside the limit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from scanlens.manifest.checks import contradictions, physical_extent, problem
from scanlens.types import Scan
from tests.helpers.tiny import checks

CHECKS = checks()


def noise(*shape: int, **fields: Any) -> Scan:
    return Scan(np.random.default_rng(0).random((1, *shape), dtype=np.float32), **fields)


@pytest.mark.parametrize(
    ("scan", "dims", "kind"),
    [
        (noise(8, 32), 2, None),
        (noise(7, 20), 2, "too small"),
        (noise(10, 41), 2, "too long"),
        (noise(10, 41, spacing=(2.0, 1.0)), 2, None),
        (noise(10, 20, spacing=(0.1, 1.0)), 2, "too long"),
        (noise(10, 20, spacing=(0.0, 1.0)), 2, None),
        (noise(8, 40, 40), 3, "too long"),
        (noise(8, 40, 40, spacing=(5.0, 1.0, 1.0)), 3, None),
        (noise(8, 8, 8), 2, "dimensions"),
        (noise(8, 8), 3, "dimensions"),
        (Scan(np.full((1, 9, 9), 5, np.float32)), 2, "blank"),
        (Scan(np.array([[[0.0] * 8] * 7 + [[np.nan] * 8]], np.float32)), 2, "not finite"),
        (Scan(np.array([[[0.0] * 8] * 7 + [[np.inf] * 8]], np.float32)), 2, "not finite"),
    ],
)
def test_problems(scan: Scan, dims: int, kind: str | None) -> None:
    found = problem(scan, dims, CHECKS)
    assert (found.split(":")[0] if found else None) == kind


def test_each_limit_changes_something() -> None:
    assert problem(noise(8, 30), 2, checks(min_side=9)) is not None
    assert problem(noise(8, 30), 2, checks(max_aspect=3.0)) is not None
    assert problem(noise(8, 30), 2, checks()) is None


def test_extent_is_in_millimetres_where_the_spacing_is_known() -> None:
    assert physical_extent((10, 20), (0.5, 2.0)) == (5.0, 40.0)
    for unknown in (None, (), (float("nan"), 1.0), (-1.0, 1.0), (1.0,)):
        assert physical_extent((10, 20), unknown) == (10.0, 20.0)


def test_same_content_with_other_labels_is_contradictory_for_all() -> None:
    manifest = pd.DataFrame(
        {
            "path": list("pqrstu"),
            "label": ["a", "b", "a", "a", "a", "b"],
            "sha256": ["x", "x", "x", "y", "y", "z"],
            "status": ["ok", "ok", "ok", "ok", "ok", "ok"],
        }
    )
    found = contradictions(manifest)
    assert found.index.tolist() == [0, 1, 2]
    assert found[0] == "contradiction: same content as q, labelled b"
    assert found[1] == "contradiction: same content as p, labelled a"
    manifest.loc[1, "status"] = "blank: every pixel is 0"
    assert contradictions(manifest).empty

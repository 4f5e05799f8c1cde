from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scanlens.shortcuts.views import (
    BACKGROUND_MASKED,
    BORDER_ONLY,
    CORNERS_MASKED,
    CORNERS_SWAPPED,
    FOREGROUND_MASKED,
    MARKS_MASKED,
    MARKS_ONLY,
    VIEWS,
    Masker,
    ScanParts,
    mean_scan,
    partners,
)
from tests.helpers.readers import planted_store

RNG = np.random.default_rng(0)
MEAN = RNG.random((2, 64, 64)).astype(np.float32)
SCANS = RNG.random((2, 2, 64, 64)).astype(np.float32)
BODY = np.zeros((64, 64), bool)
BODY[16:48, 16:48] = True
PARTS = ScanParts(BODY, [(slice(4, 10), slice(4, 10))])


def changes(name: str, parts: ScanParts = PARTS, masker: Masker | None = None) -> np.ndarray:
    """Where a view of the first scan depends on that scan."""
    masker = masker or Masker(MEAN, 0.05)
    other = RNG.random((2, 64, 64)).astype(np.float32)
    first, second = (masker.view(name, image, parts, other) for image in SCANS)
    return np.asarray((first != second).any(axis=0))


def test_only_what_is_left_speaks() -> None:
    masker = Masker(MEAN, 0.05)
    patch = np.zeros((64, 64), bool)
    patch[2:12, 2:12] = True
    for name, silent in {
        BORDER_ONLY: ~masker.border,
        CORNERS_MASKED: masker.corners,
        CORNERS_SWAPPED: masker.corners,
        BACKGROUND_MASKED: ~BODY,
        FOREGROUND_MASKED: BODY,
        MARKS_ONLY: ~patch,
    }.items():
        seen = changes(name)
        assert not seen[silent].any(), name
        assert seen[~silent].mean() > 0.6, name
    hidden = masker.view(MARKS_MASKED, SCANS[0], PARTS, SCANS[1]) != SCANS[0]
    assert hidden[:, 2:12, 2:12].any()
    assert not hidden[:, 16:].any()


def test_exchanged_corners_are_the_others() -> None:
    masker = Masker(MEAN, 0.05)
    view = masker.view(CORNERS_SWAPPED, SCANS[0], PARTS, SCANS[1])
    np.testing.assert_array_equal(view[:, masker.corners], SCANS[1][:, masker.corners])


def test_without_a_body_or_marks_nothing_or_everything_is_hidden() -> None:
    bare = ScanParts(None, [])
    masker = Masker(MEAN, 0.05)
    for name in (MARKS_MASKED, BACKGROUND_MASKED):
        np.testing.assert_array_equal(masker.view(name, SCANS[0], bare, SCANS[1]), SCANS[0])
    for name in (MARKS_ONLY, FOREGROUND_MASKED):
        np.testing.assert_allclose(masker.view(name, SCANS[0], bare, SCANS[1]), MEAN, rtol=1e-6)


def test_volumes_have_all_views() -> None:
    mean = RNG.random((1, 8, 16, 16)).astype(np.float32)
    masker = Masker(mean, 0.1)
    for name in VIEWS:
        view = masker.view(name, mean / 2, ScanParts(np.ones((8, 16, 16), bool), []), mean / 3)
        assert view.shape == mean.shape
        assert view.dtype == np.float32


def test_the_mean_scan_is_that_of_the_training_split(tmp_path: Path) -> None:
    store = planted_store(tmp_path, spatial=(16, 16), patients=9)
    rows = store.rows("train")
    np.testing.assert_allclose(mean_scan(store, 4), store.read(rows).mean(axis=0), rtol=1e-5)
    store.rows = lambda split: np.zeros(0, np.int64)  # type: ignore[method-assign]
    np.testing.assert_allclose(mean_scan(store, 4), store.read(range(len(store))).mean(axis=0), rtol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_partners_are_of_other_patients(seed: int) -> None:
    patients = np.array(["a", "a", "a", "b", "b", "", "", "c", "d", "e"], dtype=object)
    dealt = partners(patients, seed)
    assert sorted(dealt) == list(range(10)), "each lends its corners once"
    known = patients != ""
    assert (patients[dealt][known] != patients[known]).all()
    assert (dealt != np.arange(10)).all()
    assert partners(np.array(["a", "a"], dtype=object), seed).tolist() in ([0, 1], [1, 0])

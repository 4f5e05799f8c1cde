from __future__ import annotations

import numpy as np

from scanlens.shortcuts.mass import CHUNK, weigh

RNG = np.random.default_rng(0)


def test_mass_is_that_of_plain_sums_in_chunks() -> None:
    scans = CHUNK + 10
    maps = RNG.random((scans + 5, 3, 4, 5)).astype(np.float16)
    positions = np.sort(RNG.permutation(scans + 5)[:scans])
    targets, predicted = RNG.integers(0, 2, scans), RNG.integers(0, 3, scans)
    corner = np.zeros((4, 5))
    corner[0, 0] = 0.5
    outside = RNG.random((scans, 4, 5))
    found = weigh(maps, positions, targets, predicted, {"corner": corner, "outside": outside})
    chosen = maps[positions].astype(np.float64)
    own = chosen[np.arange(scans), predicted]
    np.testing.assert_allclose(found.total, own.sum(axis=(1, 2)))
    np.testing.assert_allclose(found.predicted["corner"], own[:, 0, 0] / 2)
    np.testing.assert_allclose(found.predicted["outside"], (own * outside).sum(axis=(1, 2)))
    np.testing.assert_allclose(found.area["corner"], 0.5 / 20)
    np.testing.assert_allclose(found.area["outside"], outside.mean(axis=(1, 2)))
    np.testing.assert_allclose(found.level, chosen.mean(axis=(2, 3)))
    np.testing.assert_allclose(found.average[1], chosen[targets == 1, 1].mean(axis=0))
    assert np.isnan(found.average[2]).all(), "no scan is labelled so"


def test_an_even_map_has_the_regions_share_and_volumes_work() -> None:
    region = RNG.random((2, 3, 4)) < 0.4
    found = weigh(
        np.full((6, 2, 2, 3, 4), 0.5),
        np.arange(6),
        np.zeros(6, int),
        np.ones(6, int),
        {"part": region.astype(float)},
    )
    np.testing.assert_allclose(found.predicted["part"] / found.total, found.area["part"])

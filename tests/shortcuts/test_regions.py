from __future__ import annotations

import numpy as np
import pytest

from scanlens.shortcuts.regions import body, border, corners, coverage


def test_the_border_is_a_rim_with_the_corners_and_the_ends_of_a_volume() -> None:
    rim = border((40, 60), 0.05)
    assert rim[0].all()
    assert rim[:, -1].all()
    assert rim[5, 7]
    assert not rim[20, 4:56].any()
    assert border((40, 60), 0.1).sum() > rim.sum()
    shell = border((20, 40, 60), 0.05)
    assert shell[0].all()
    assert shell[-1].all()
    np.testing.assert_array_equal(shell[10], rim)


def test_corners_are_what_an_ellipse_leaves() -> None:
    outer = corners((400, 300))
    assert outer.mean() == pytest.approx(1 - np.pi / 4, abs=2e-3)
    assert outer[0, 0]
    assert not outer[200, 0]
    volume = corners((3, 40, 30))
    np.testing.assert_array_equal(volume[0], volume[2])


def test_the_body_is_the_large_bright_part_without_its_holes_and_without_marks() -> None:
    image = np.full((1, 64, 64), 0.05, np.float32)
    image[0, 10:60, 12:52] = 0.7
    image[0, 30:40, 25:35] = 0.05
    image[0, 2:7, 2:7] = 1.0
    found = body(image)
    assert found is not None
    wanted = np.zeros((64, 64), bool)
    wanted[10:60, 12:52] = True
    assert (found == wanted).mean() > 0.99
    assert not found[2:7, 2:7].any()
    assert body(np.full((1, 20, 20), 0.3, np.float32)) is None


@pytest.mark.parametrize("grid", [(4, 4), (5, 3), (32, 24)])
def test_coverage_keeps_the_area(grid: tuple[int, int]) -> None:
    mask = np.random.default_rng(0).random((3, 32, 24)) < 0.3
    shares = coverage(mask, grid)
    assert shares.shape == (3, *grid)
    np.testing.assert_allclose(shares.mean(axis=(1, 2)), mask.mean(axis=(1, 2)))


def test_coverage_of_an_even_grid_is_the_mean_of_blocks() -> None:
    mask = np.random.default_rng(1).random((8, 6)) < 0.5
    np.testing.assert_allclose(coverage(mask, (4, 3)), mask.reshape(4, 2, 3, 2).mean(axis=(1, 3)))

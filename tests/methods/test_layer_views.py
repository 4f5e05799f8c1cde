"""Contact sheets of a layer's channels."""

from __future__ import annotations

import numpy as np
import pytest

from scanlens.methods.filters import Patterns
from scanlens.methods.layer_views import LARGEST, LEAST, activation_sheet, filter_sheet, tile_side
from scanlens.pictures.overlays import COLOURS


def count(sheet: np.ndarray, colour) -> int:
    return int((sheet == np.asarray(colour)).all(-1).sum())


def test_all_channels_share_one_scale() -> None:
    found = np.zeros((2, 4, 4), np.float32)
    found[0], found[1] = 4.0, 2.0
    drawn = activation_sheet(found, "backbone")
    side = tile_side(2)
    assert count(drawn, COLOURS[255]) >= side * side
    assert count(drawn, COLOURS[128]) >= side * side


def test_signed_activations_are_told_apart() -> None:
    found = np.zeros((3, 4, 4), np.float32)
    found[0], found[1] = -1.0, 1.0
    drawn = activation_sheet(found, "backbone").astype(int)
    side = tile_side(3)
    middle = drawn[side // 2, side // 2], drawn[side // 2, side // 2 + side + 4]
    assert middle[0][2] > middle[0][0]  # blue below zero
    assert middle[1][0] > middle[1][2]  # red above
    assert (drawn >= 253).all(-1).sum() >= side * side  # white at zero


def test_of_a_volume_the_busiest_plane_is_shown() -> None:
    found = np.zeros((1, 3, 4, 4), np.float32)
    found[0, 2], found[0, 0, 0, 0] = 1.0, 4.0
    drawn = activation_sheet(found, "backbone")
    assert count(drawn, COLOURS[64]) >= tile_side(1) ** 2


@pytest.mark.parametrize("spatial", [(6, 6), (3, 6, 6)])
@pytest.mark.parametrize(("channels", "colour"), [(1, False), (3, True), (3, False)])
def test_patterns_are_shown_as_intensities(spatial: tuple[int, ...], channels: int, colour: bool) -> None:
    pixels = np.full((2, channels, *spatial), 0.2, np.float32)
    pixels[1] = 0.6
    if colour:
        pixels[:, 0] = 1.0
    found = Patterns(pixels, np.zeros(2, np.float32), np.ones(2, np.float32))
    drawn = filter_sheet(found, [0, 1], 8, "backbone", colour)
    for level in (51, 153):
        assert count(drawn, (255, level, level) if colour else (level,) * 3) >= tile_side(2) ** 2


def test_tiles_shrink_as_they_get_many() -> None:
    assert tile_side(1) == LARGEST
    assert tile_side(2048) == 35
    assert tile_side(100_000) == LEAST

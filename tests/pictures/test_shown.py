"""Channels that are no colours are not drawn as colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scanlens.atomic import write_json
from scanlens.pictures.shown import is_colour, shown
from scanlens.preprocess.preprocessor import Preprocessor
from scanlens.types import ImageArray
from tests.helpers.tiny import write_store


def stack(channels: int) -> ImageArray:
    return np.broadcast_to(np.arange(channels, dtype=np.float32)[:, None, None], (channels, 4, 4)) / 10


@pytest.mark.parametrize(
    ("channels", "colour", "expected"),
    [
        (1, False, [0]),
        (3, True, [0, 1, 2]),
        (3, False, [1]),
        (5, False, [2]),
        (6, False, [3]),
        (5, True, [2]),
    ],
)
def test_colours_as_they_are_else_the_middle_channel(
    channels: int, colour: bool, expected: list[int]
) -> None:
    assert (shown(stack(channels), colour)[:, 0, 0] * 10).round().tolist() == expected


def test_a_store_says_what_its_channels_are(tmp_path: Path) -> None:
    store = write_store(tmp_path, shape=(3, 8, 8), train=1, other=1)
    assert is_colour(store), "three channels and no description"
    colour = Preprocessor((8, 8), 3, "pad", "auto", (0.5, 99.5), None, 2)
    windows = Preprocessor((8, 8), 3, "pad", "auto", (0.5, 99.5), ((0, 1), (0, 2), (0, 3)), 2)
    for preprocessor, expected in ((colour, True), (windows, False)):
        write_json(tmp_path / "preprocessor.json", preprocessor.to_json())
        assert is_colour(store) is expected
    assert not is_colour(write_store(tmp_path / "grey", train=1, other=1))

"""2.5-D: which slices become channels."""

from __future__ import annotations

import numpy as np
import pytest

from scanlens.preprocess.slices import middle, neighbours


@pytest.mark.parametrize(
    ("depth", "number", "expected"),
    [
        (9, 3, [3, 4, 5]),
        (8, 3, [3, 4, 5]),
        (9, 5, [2, 3, 4, 5, 6]),
        (3, 7, [0, 0, 0, 1, 2, 2, 2]),
        (2, 3, [0, 1, 1]),
        (1, 5, [0] * 5),
        (9, 1, [4]),
    ],
)
def test_the_middle_slice_and_its_neighbours(depth: int, number: int, expected: list[int]) -> None:
    volume = np.broadcast_to(np.arange(depth, dtype=np.float32)[:, None, None], (1, depth, 4, 5))
    found = neighbours(volume, number)
    assert found.shape == (number, 4, 5)
    assert found[:, 0, 0].tolist() == expected
    assert found[number // 2, 0, 0] == middle(depth)

"""The receptive field over a scan."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from scanlens.methods.field import IN_EFFECT, Field, field_of, field_panel
from scanlens.models.ensemble import Ensemble
from scanlens.models.receptive_field import effective, theoretical
from tests.helpers.networks import small_network


@pytest.mark.parametrize(("dims", "size"), [(2, (24, 20)), (3, (8, 8, 8))])
def test_it_is_what_the_parts_measure(dims: int, size: tuple[int, ...]) -> None:
    network = small_network(dims, size=size)
    with torch.no_grad():
        grid = network.features(torch.zeros(1, 1, *size)).shape[2:]
    field = field_of(network, 1, size, grid, 3)
    influence, side = effective(network.backbone, 1, size, seed=3)
    np.testing.assert_allclose(field.influence, influence)
    assert (field.effective, field.theoretical) == (side, theoretical(network.backbone, 1, dims))
    assert field.box is not None
    assert all(0 <= part.start < part.stop <= length for part, length in zip(field.box, size, strict=True))
    assert field_panel(np.zeros((1, *size), np.float32), field, 100).shape[0] > 80
    other = field_of(Ensemble([network, small_network(dims, 1, size=size)]).eval(), 1, size, grid, 4)
    assert not np.allclose(other.influence, field.influence)


def test_the_box_of_one_convolution_is_its_kernel() -> None:
    network = small_network(size=(12, 12))
    network.backbone = nn.Conv2d(1, 2, 5, padding=2)
    nn.init.ones_(network.backbone.weight)
    field = field_of(network, 1, (12, 12), (12, 12), 0)
    assert (field.theoretical, round(field.effective, 6)) == (5, 5.0)
    assert field.box == (slice(4, 9), slice(4, 9))
    seen = np.argwhere(field.influence > 0)
    assert (tuple(seen.min(0)), tuple(seen.max(0))) == ((4, 4), (8, 8))
    drawn = field_panel(np.zeros((1, 12, 12), np.float32), field, 120)
    # Both borders are the same here; the one in effect is drawn last.
    rows = np.flatnonzero((drawn[:120, :120] == IN_EFFECT).all(-1).any(1))
    assert rows[0] == pytest.approx(40, abs=1)
    assert rows[-1] == pytest.approx(89, abs=1)


def test_a_field_without_an_end_has_no_box() -> None:
    field = Field(np.ones((8, 8), np.float32), 8.0, None, (2, 2))
    assert field.box is None
    assert field.text() == "receptive field endless, in effect 8 px"
    assert field_panel(np.zeros((3, 8, 8), np.float32), field, 60).shape[2] == 3

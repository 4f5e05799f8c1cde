"""A network may not be built much larger than the weights it is to take."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from scanlens.errors import SettingsError
from scanlens.models.allowance import FACTOR, SPARE, allowance


def test_what_is_allowed_may_be_built() -> None:
    with allowance(1000):
        nn.Linear(1000, (FACTOR * 1000 + SPARE) // 1000 - 2)


@pytest.mark.parametrize("layer", [lambda: nn.Linear(1001, 1001), lambda: nn.BatchNorm1d(600_000)])
def test_what_is_far_larger_is_refused(layer: object) -> None:
    with pytest.raises(SettingsError, match="far larger than its weights, 0 numbers"), allowance(0):
        layer()  # type: ignore[operator]


def test_layers_add_up_and_buffers_count() -> None:
    with pytest.raises(SettingsError, match="far larger"), allowance(0):  # noqa: PT012
        for _ in range(3):
            nn.Module().register_buffer("positions", torch.empty(SPARE // 2 - 1))


def test_nothing_is_counted_afterwards() -> None:
    with pytest.raises(SettingsError), allowance(0):
        nn.Linear(2000, 2000)
    nn.Linear(2000, 2000)

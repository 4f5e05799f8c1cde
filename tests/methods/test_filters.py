"""Filter patterns: they raise their own channel's activation, within bounds, the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scanlens.errors import SettingsError
from scanlens.methods.activations import activations
from scanlens.methods.filters import patterns
from scanlens.methods.layers import find_layer
from tests.helpers.networks import SIZES, small_network


def look(dims: int = 2, layer: str | None = "1.layers.3", channels=(0, 1, 2), count: int = 1, **changes):
    network = small_network(dims, channels=count)
    name, module = find_layer(network, layer)
    statistics = {"mean": [0.4] * count, "std": [0.2] * count}
    settings = {"steps": 12, "progress": False, **changes}
    found = patterns(network, name, module, channels, (count, *SIZES[dims]), statistics, **settings)
    return network, name, module, found


@pytest.mark.parametrize(("dims", "count"), [(2, 1), (2, 3), (3, 1)])
def test_each_raises_its_channel(dims: int, count: int) -> None:
    network, name, module, found = look(dims, count=count)
    assert found.pixels.shape == (3, count, *SIZES[dims])
    assert (found.after > found.before).all()
    assert found.silent == 0
    with torch.no_grad():
        standardised = torch.from_numpy((found.pixels - 0.4) / 0.2)
        means = activations(network, standardised, name, module).flatten(2).mean(2).numpy()
    np.testing.assert_allclose(np.diag(means), found.after, rtol=1e-3, atol=1e-4)
    # A channel likes its own pattern best.
    assert (means[:, :3].argmax(0) == np.arange(3)).all()


def test_more_steps_raise_it_further_without_regularisation() -> None:
    few, many = (look(steps=steps, decay=0.0, blur=0.0)[3] for steps in (2, 12))
    assert (many.after > few.after).all()


def test_patterns_stay_within_the_range_of_scans() -> None:
    found = look(steps=40)[3]
    assert found.pixels.min() >= -1e-6
    assert found.pixels.max() <= 1 + 1e-6


def test_a_pattern_depends_on_its_channel_and_the_seed_alone() -> None:
    together, alone = look(batch_size=8)[3], look(channels=(2,), batch_size=1)[3]
    np.testing.assert_allclose(together.pixels[2], alone.pixels[0], atol=1e-4)
    assert np.array_equal(alone.pixels, look(channels=(2,), batch_size=1)[3].pixels)


@pytest.mark.parametrize("change", [{"seed": 1}, {"steps": 20}, {"decay": 0.2}, {"blur": 2.0}])
def test_every_setting_changes_it(change: dict[str, float]) -> None:
    # Blurs leave the last steps alone: enough steps for one.
    usual = look(channels=(0,), **{"steps": 18})[3]
    other = look(channels=(0,), **{"steps": 18, **change})[3]
    assert not np.allclose(usual.pixels, other.pixels, atol=1e-3)


def test_a_channel_without_a_slope_is_silent_and_stays_noise() -> None:
    network = small_network()
    name, module = find_layer(network, "1.layers.3")
    with torch.no_grad():
        module.get_parameter("weight")[1] = 0
    statistics = {"mean": [0.4], "std": [0.2]}
    found = patterns(network, name, module, (0, 1), (1, *SIZES[2]), statistics, steps=4, progress=False)
    assert found.silent == 1
    assert found.before[1] == found.after[1]
    assert found.after[0] > found.before[0]


def test_no_steps_are_refused() -> None:
    with pytest.raises(SettingsError, match="--steps is 0"):
        look(steps=0)

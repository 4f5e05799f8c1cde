"""Layers by name."""

from __future__ import annotations

import pytest

from scanlens.errors import SettingsError
from scanlens.methods.layers import find_layer
from scanlens.models.ensemble import Ensemble
from tests.helpers.networks import small_network


def test_names_with_and_without_the_backbone() -> None:
    network = small_network()
    assert find_layer(network, None) == ("backbone", network.backbone)
    block = network.backbone.get_submodule("1.layers.0")
    for name in ("backbone.1.layers.0", "1.layers.0"):
        assert find_layer(network, name) == ("backbone.1.layers.0", block)


def test_of_an_ensemble_the_first_member_unless_said() -> None:
    first, second = small_network(), small_network(seed=1)
    both = Ensemble([first, second]).eval()
    assert find_layer(both, None)[1] is first.backbone
    assert find_layer(both, "1.layers.0")[1] is first.backbone.get_submodule("1.layers.0")
    assert find_layer(both, "members.1.backbone.1")[1] is second.backbone.get_submodule("1")


def test_an_unknown_layer_is_answered_with_near_ones() -> None:
    with pytest.raises(SettingsError, match=r"no layer '1.layer.0'.*1\.layers\.0.* and \d+ more"):
        find_layer(small_network(), "1.layer.0")

"""Activations of a layer: what a hook of torch sees there, in one order of axes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from scanlens.errors import SettingsError
from scanlens.methods.activations import activations
from scanlens.methods.layers import find_layer
from scanlens.models.ensemble import Ensemble
from tests.helpers.networks import SIZES, noise, small_network


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", [None, "0.layers.0", "1.layers.2", "backbone.2"])
def test_they_are_the_layers_output(dims: int, name: str | None) -> None:
    network, scans = small_network(dims), noise(2, 1, SIZES[dims], 4)
    full, layer = find_layer(network, name)
    seen = []
    handle = layer.register_forward_hook(lambda module, inputs, output: seen.append(output.clone()))
    with torch.no_grad():
        network(scans)
        handle.remove()
        found = activations(network, scans, full, layer)
    assert torch.equal(found, seen[0])
    assert not layer._forward_hooks


def test_what_follows_is_not_computed() -> None:
    network = small_network()
    network.head.register_forward_hook(lambda *_: pytest.fail("the head ran"))
    with torch.no_grad():
        activations(network, noise(1, 1, SIZES[2]), *find_layer(network, None))


def test_gradients_reach_the_scans() -> None:
    network, scans = small_network(), noise(1, 1, SIZES[2]).requires_grad_()
    activations(network, scans, *find_layer(network, "1")).sum().backward()
    assert scans.grad is not None
    assert scans.grad.abs().sum() > 0


def test_of_an_ensemble() -> None:
    first, second = small_network(), small_network(seed=1)
    both, scans = Ensemble([first, second]).eval(), noise(1, 1, SIZES[2])
    with torch.no_grad():
        found = activations(both, scans, *find_layer(both, "members.1.backbone.1"))
        assert torch.equal(found, activations(second, scans, *find_layer(second, "1")))


def test_tokens_and_features_that_come_last_are_put_in_order() -> None:
    vit = small_network(name="vit_tiny_patch16_224", library="timm", size=(32, 48), width=1.0, channels=3)
    scans = noise(1, 3, (32, 48))
    with torch.no_grad():
        output = vit.features(scans)
        block = activations(vit, scans, *find_layer(vit, "blocks.3"))
        assert torch.equal(activations(vit, scans, *find_layer(vit, None)), output)
    assert block.shape == output.shape


@pytest.mark.parametrize("name", ["head", "hidden.0"])
def test_a_layer_without_cells_is_refused(name: str) -> None:
    network = small_network(hidden=(5,))
    with torch.no_grad(), pytest.raises(SettingsError, match="that has no cells"):
        activations(network, noise(1, 1, SIZES[2]), *find_layer(network, name))


def test_values_that_are_not_finite_are_refused() -> None:
    network = small_network()
    with torch.no_grad():
        network.backbone.get_submodule("0.layers.0").get_parameter("weight")[0] = torch.nan
        with pytest.raises(SettingsError, match="not finite"):
            activations(network, noise(1, 1, SIZES[2]), *find_layer(network, "0.layers.0"))


def test_a_layer_that_never_runs_is_refused() -> None:
    network = small_network()
    network.backbone.add_module("idle", nn.Conv2d(1, 1, 1))
    idle = network.backbone.get_submodule("idle")
    network.backbone.forward = network.backbone.get_submodule("0").forward  # type: ignore[method-assign]
    network.head = nn.Identity()  # type: ignore[assignment]
    with torch.no_grad(), pytest.raises(SettingsError, match="gives no tensor"):
        activations(network, noise(1, 1, SIZES[2]), "idle", idle)

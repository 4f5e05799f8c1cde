"""The default network: how far it pools, what it costs, what it sees."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from scanlens.errors import SettingsError
from scanlens.models.architecture import Architecture
from scanlens.models.layers import (
    ENOUGH,
    LAYER_FEATURES,
    LEAST_GRID,
    LEAST_POOLINGS,
    build_lean,
    build_plain,
    pooling_for,
)
from scanlens.models.receptive_field import theoretical
from scanlens.models.registry import build, resolve_model
from tests.helpers.tiny import model

Make = Callable[..., Architecture]


@pytest.mark.parametrize(
    ("dims", "side"), [(2, side) for side in (7, 13, 14, 27, 28, 56, 64, 112)] + [(3, 13), (3, 28)]
)
def test_the_longest_side_keeps_enough_cells(architecture: Make, dims: int, side: int) -> None:
    size = (side, *[max(side // 2, 8)] * (dims - 1))
    network = build_plain(architecture(size=size, width=0.1)).eval()
    with torch.inference_mode():
        grid = network(torch.zeros(1, 1, *size)).shape[2:]
    assert max(grid) >= min(side, LEAST_GRID)
    # Two halvings as far as the rule allows, then no more than it takes to reach enough cells.
    assert max(grid) // 2 < LEAST_GRID or side // max(grid) >= 2**LEAST_POOLINGS
    assert max(grid) <= ENOUGH[dims] or max(grid) // 2 < LEAST_GRID


def test_no_more_is_pooled_than_the_maps_bear(architecture: Make) -> None:
    for side, cells in ((28, 7), (64, 16), (112, 28), (128, 32), (160, 20), (512, 32)):
        network = build_plain(architecture(size=(side, side), width=0.1)).eval()
        with torch.inference_mode():
            assert network(torch.zeros(1, 1, side, side)).shape[2] == cells


@pytest.mark.parametrize("name", ["cnn", "lean", "resnet18"])
@pytest.mark.parametrize(
    ("shape", "pooling"),
    [((1, 28, 28), "average"), ((1, 35, 20), "average"), ((1, 40, 20), "gem"), ((1, 128, 128), "gem"),
     ((3, 512, 400), "gem"), ((1, 28, 28, 28), "average"), ((1, 96, 96, 48), "average")],
)  # fmt: skip
def test_fine_grids_of_images_are_pooled_by_the_generalised_mean(
    name: str, shape: tuple[int, ...], pooling: str
) -> None:
    """By themselves only in the plain networks; a setting is taken as it is."""
    auto = resolve_model(model(name=name, pooling="auto"), shape, 2)
    assert auto.pooling == (pooling if name in ("cnn", "lean") else "average")
    assert pooling_for(shape[1:], auto.stem) == pooling
    assert resolve_model(model(name=name, pooling="flatten"), shape, 2).pooling == "flatten"


@pytest.mark.parametrize(("side", "cells"), [(66, 8), (128, 16), (224, 28), (512, 32)])
def test_lean_widens_nothing_before_a_quarter_of_the_resolution(
    architecture: Make, side: int, cells: int
) -> None:
    network = build_lean(architecture(name="lean", stem="medium", size=(side, side), width=0.1)).eval()
    sides: list[int] = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _, __, made: sides.append(made.shape[2]))
    with torch.inference_mode():
        assert network(torch.zeros(1, 1, side, side)).shape[2] == cells
    assert sides[0] == -(-side // 2)
    assert max(sides[1:]) == -(-sides[0] // 2)


@pytest.mark.parametrize("size", [(64, 64), (28, 28, 28), (96, 96, 96)])
def test_lean_is_cnn_where_there_is_nothing_to_save(architecture: Make, size: tuple[int, ...]) -> None:
    shape = (1, *size)
    lean, plain = (resolve_model(model(name=name), shape, 2) for name in ("lean", "cnn"))
    shapes = [
        {key: weights.shape for key, weights in build(one).state_dict().items()} for one in (lean, plain)
    ]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("width", [0.001, 0.25, 1.0, 1.5])
def test_width_multiplies_the_features(architecture: Make, width: float) -> None:
    convolutions = [
        m for m in build_plain(architecture(width=width)).modules() if isinstance(m, torch.nn.Conv2d)
    ]
    assert [c.out_channels for c in convolutions[::2]] == [max(1, round(f * width)) for f in LAYER_FEATURES]


def test_every_pixel_reaches_the_maps(architecture: Make) -> None:
    network = build_plain(architecture(size=(16, 16))).eval()
    scans = torch.rand(1, 1, 16, 16, requires_grad=True)
    network(scans).sum().backward()
    assert scans.grad is not None
    assert (scans.grad != 0).float().mean() > 0.95


@pytest.mark.parametrize(("stem", "stride"), [("small", 1), ("medium", 1), ("standard", 2)])
@pytest.mark.parametrize(("dims", "side"), [(2, 56), (2, 28), (3, 28)])
def test_it_is_twice_convolution_norm_and_relu_then_pooling(
    architecture: Make, dims: int, side: int, stem: str, stride: int
) -> None:
    """Weights for weights what the layers written by hand give."""
    convolution, norm, pool = (
        (nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d) if dims == 2 else (nn.Conv3d, nn.BatchNorm3d, nn.MaxPool3d)
    )
    looks_once = side // stride == 56
    torch.manual_seed(5)
    network = build_plain(architecture(size=(side,) * dims, stem=stem)).eval()
    torch.manual_seed(5)
    layers: list[nn.Module] = []
    inputs, left = 1, side // stride
    for number, outputs in enumerate((4, 8, 16, 32)):
        second = 1 if looks_once and number >= 2 else 3
        for source, kernel, step in ((inputs, 3, 1 if number else stride), (outputs, second, 1)):
            layers += [
                convolution(source, outputs, kernel, step, kernel // 2, bias=False),
                norm(outputs),
                nn.ReLU(),
            ]
        inputs = outputs
        if left // 2 >= LEAST_GRID and (number < LEAST_POOLINGS or left > ENOUGH[dims]):
            layers.append(pool(2))
            left //= 2
    scans = torch.randn(2, 1, *(side,) * dims)
    with torch.inference_mode():
        assert torch.equal(network(scans), nn.Sequential(*layers).eval()(scans))


@pytest.mark.parametrize("side", [64, 112, 128, 160, 224, 256, 512])
def test_a_place_of_a_fine_grid_sees_a_part_of_the_scan(side: int) -> None:
    """A lesion argued for from afar has its evidence beside it."""
    architecture = resolve_model(model(name="cnn", width=0.1), (1, side, side), 2)
    seen = theoretical(build_plain(architecture), channels=1)
    assert seen is not None
    assert 0.1 * side <= seen <= 0.5 * side


def test_the_activation_is_the_settings(architecture: Make) -> None:
    kinds = {type(module) for module in build_plain(architecture(activation="tanh")).modules()}
    assert nn.Tanh in kinds
    assert nn.ReLU not in kinds


def test_arguments_are_refused(architecture: Make) -> None:
    with pytest.raises(SettingsError, match=r"model\.args.*depth"):
        build_plain(architecture(args={"depth": 3}))

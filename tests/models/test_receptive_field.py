"""Receptive fields against the formula for chains of layers, and against published numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from scanlens.models.architecture import Architecture
from scanlens.models.receptive_field import effective, theoretical
from scanlens.models.registry import build

Make = Callable[..., Architecture]


def by_formula(layers: list[tuple[int, int]]) -> int:
    """Field of a chain of (kernel, stride): each adds (kernel - 1) times the product of strides before it."""
    field, jump = 1, 1
    for kernel, stride in layers:
        field += (kernel - 1) * jump
        jump *= stride
    return field


@pytest.mark.parametrize(
    "layers", [[(3, 1)], [(3, 1), (3, 1)], [(7, 2), (3, 2), (3, 1), (5, 1)], [(4, 4), (7, 1), (2, 2), (7, 1)]]
)
def test_chains_follow_the_formula(layers: list[tuple[int, int]]) -> None:
    parts: list[nn.Module] = []
    for kernel, stride in layers:
        parts += [nn.Conv2d(2, 2, kernel, stride, kernel // 2), nn.BatchNorm2d(2), nn.ReLU()]
    assert theoretical(nn.Sequential(*parts), 2) == by_formula(layers)


def test_max_pooling_and_dilation_count() -> None:
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3, padding=2, dilation=2)
    )
    assert theoretical(network, 1) == by_formula([(3, 1), (2, 2), (5, 1)])


# Araujo et al. 2019, "Computing receptive fields of convolutional neural networks", table 1: ResNets and
# MobileNet as they are; VGG-16 before its last pooling (after it 212).
@pytest.mark.parametrize(
    ("name", "field"), [("resnet18", 435), ("vgg16_bn", 196), ("mobilenetv1_100", 315), ("resnet50", 427)]
)
def test_published_fields(architecture: Make, name: str, field: int) -> None:
    made = architecture(name=name, library="timm", stem="standard", width=1.0, size=(224, 224), channels=1)
    assert theoretical(build(made).backbone, 1) == field


def test_a_pattern_has_its_formulas_field(architecture: Make) -> None:
    blocks = [{"filters": 4, "kernel": 5}, {"filters": 4, "convolutions": 2}]
    args: dict[str, Any] = {"blocks": blocks, "norm": "batch", "dropout": 0.0, "initial": "he"}
    made = architecture(name="pattern", stem="standard", width=1.0, size=(32, 32), args=args)
    expected = by_formula([(5, 1), (2, 2), (3, 1), (3, 1), (2, 2)])
    assert theoretical(build(made).backbone, 1) == expected


def test_squeeze_and_excitation_sees_the_whole_scan(architecture: Make) -> None:
    made = architecture(name="mobilenetv3_small_050", library="timm", width=1.0, size=(64, 64))
    assert theoretical(build(made).backbone, 1) is None


def test_the_effective_field_of_one_even_layer_is_its_kernel() -> None:
    layer = nn.Conv2d(1, 1, 5, padding=2)
    nn.init.ones_(layer.weight)
    share, side = effective(layer, 1, (17, 17), scans=2, batch=2)
    assert side == 5
    assert torch.equal(share > 0, torch.nn.functional.pad(torch.ones(5, 5), (6,) * 4) > 0)


def test_the_effective_field_lies_within_the_theoretical_one_and_grows_with_the_root_of_depth() -> None:
    sides = []
    for depth in (4, 16):
        torch.manual_seed(0)
        chain = nn.Sequential(*(nn.Conv2d(4, 4, 3, padding=1, bias=False) for _ in range(depth)))
        share, side = effective(chain, 4, (48, 48), scans=8)
        assert side < theoretical(chain, 4)  # type: ignore[operator]
        assert float(share.max()) == 1
        sides.append(side)
    # Luo et al. 2016: four times the layers, twice the field (not four times).
    assert 1.5 < sides[1] / sides[0] < 2.6

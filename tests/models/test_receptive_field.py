"""Receptive fields against the formula for chains of layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from timm.layers import LayerNorm2d
from torch import nn

from scanlens.models.architecture import Architecture
from scanlens.models.baselines import EdgeFeatures
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


# Longest paths as the papers give them, (kernel, stride); 1 x 1 convolutions of stride 1 see no more.
RESNET18 = [(7, 2), (3, 2)] + [layer for s in (1, 2, 2, 2) for layer in ((3, s), (3, 1), (3, 1), (3, 1))]
RESNET50 = [(7, 2), (3, 2)] + [
    layer for s, blocks in ((1, 3), (2, 4), (2, 6), (2, 3)) for layer in ((3, s), *[(3, 1)] * (blocks - 1))
]
VGG16 = [layer for count in (2, 2, 3, 3, 3) for layer in (*[(3, 1)] * count, (2, 2))][:-1]
MOBILENET = [(3, s) for s in (2, 1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)]


@pytest.mark.parametrize(
    ("name", "layers"),
    [("resnet18", RESNET18), ("resnet50", RESNET50), ("vgg16_bn", VGG16), ("mobilenetv1_100", MOBILENET)],
)
def test_networks_have_the_field_of_their_longest_path(
    architecture: Make, name: str, layers: list[tuple[int, int]]
) -> None:
    made = architecture(name=name, library="timm", stem="standard", width=1.0, size=(224, 224), channels=1)
    assert theoretical(build(made).backbone, 1) == by_formula(layers)


@pytest.mark.parametrize(("stem", "size"), [("standard", (48, 48, 48)), ("small", (24, 24, 24))])
def test_volumes_are_measured_as_they_are(architecture: Make, stem: str, size: tuple[int, ...]) -> None:
    made = architecture(name="resnet18", library="monai", stem=stem, width=0.0625, size=size)
    backbone = build(made).eval().backbone
    layers = [m for m in backbone.modules() if isinstance(m, (nn.Conv3d, nn.MaxPool3d))]
    # Without the 1 x 1 x 1 convolutions of the shortcuts these are the longest path, in order.
    chain = [(_side(m.kernel_size), _side(m.stride)) for m in layers if _side(m.kernel_size) > 1]
    assert theoretical(backbone, 1, 3) == by_formula(chain)
    if stem == "standard":
        assert chain == RESNET18


def _side(value: int | tuple[int, ...]) -> int:
    return value if isinstance(value, int) else value[0]


@pytest.mark.parametrize("name", ["densenet121", "efficientnet_b0"])
def test_other_networks_for_volumes_are_measured(architecture: Make, name: str) -> None:
    args = {"block_config": [1, 1, 1, 1]} if name == "densenet121" else {}
    made = architecture(name=name, library="monai", stem="standard", width=1.0, size=(32, 32, 32), args=args)
    found = theoretical(build(made).backbone, 1, 3)
    # 7 x 7 and 3 x 3 of stride 2, then four layers of 3 x 3 with a pooling of 2 between them.
    chain = [(7, 2), (3, 2), (3, 1), (2, 2), (3, 1), (2, 2), (3, 1), (2, 2), (3, 1)]
    assert found == (by_formula(chain) if name == "densenet121" else None)


def test_edges_of_volumes_are_seen_in_the_slice() -> None:
    assert theoretical(EdgeFeatures(3, 1, 8), 1, 3) == theoretical(EdgeFeatures(2, 1, 8), 1) == 10


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


def test_a_layer_norm_behind_the_last_layer_changes_no_effective_field() -> None:
    torch.manual_seed(0)
    chain = nn.Sequential(*(nn.Conv2d(features, 8, 3, padding=1) for features in (1, 8, 8, 8)))
    _, plain = effective(chain, 1, (32, 32))
    # The sum over features of what it gives is constant: its gradient would be rounding.
    _, normed = effective(nn.Sequential(chain, LayerNorm2d(8)), 1, (32, 32))
    assert plain < 9
    assert normed == pytest.approx(plain, abs=0.5)


@pytest.mark.parametrize("name", ["twins_svt_small", "maxvit_tiny_rw_224"])
def test_networks_laid_out_for_one_size_have_no_field_with_an_end(architecture: Make, name: str) -> None:
    made = architecture(name=name, library="timm", width=1.0, size=(224, 224))
    assert theoretical(build(made).backbone, 1) is None


def test_weights_that_are_standardised_and_scaled_have_the_field_of_plain_ones(architecture: Make) -> None:
    made = architecture(name="nf_resnet26", library="timm", width=1.0, size=(64, 64), stem="standard")
    layers = [(7, 2), (3, 2), (3, 1), (3, 1), *[(3, 2), (3, 1)] * 3]
    assert theoretical(build(made).backbone, 1) == by_formula(layers)

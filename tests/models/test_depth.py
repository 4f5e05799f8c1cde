"""Blocks by depth hold every module once, in the order of the forward pass."""

from __future__ import annotations

import pytest
from torch import nn

from scanlens.models.depth import block_parameters, blocks
from scanlens.models.registry import build, resolve_model
from tests.helpers.tiny import model

COUNTS = [
    ("cnn", "auto", (1, 16, 16), 4),
    ("cnn", "auto", (1, 8, 8, 8), 4),
    ("dense", "auto", (1, 16, 16), 0),
    ("edges", "auto", (1, 16, 16), 1),
    ("resnet18", "timm", (1, 32, 32), 5),
    ("mobilenetv3_small_050", "timm", (1, 32, 32), 5),
    ("convnext_atto", "timm", (1, 64, 64), 4),
    ("vgg11", "timm", (1, 64, 64), 5),
    ("resnet10", "monai", (1, 8, 8, 8), 5),
    ("resnet18", "monai", (1, 32, 32), 5),
    ("densenet121", "monai", (1, 32, 32), 8),
]


@pytest.mark.parametrize(("name", "library", "shape", "count"), COUNTS)
def test_every_module_is_in_one_block(name: str, library: str, shape: tuple[int, ...], count: int) -> None:
    narrow = 0.25 if name in ("cnn", "resnet10", "resnet18") else 1.0
    backbone = build(resolve_model(model(name=name, library=library, width=narrow), shape, 2)).backbone
    found = blocks(backbone)
    assert len(found) == count
    listed = [id(module) for block in found for module in block]
    assert len(listed) == len(set(listed))
    stateful = {id(m) for m in backbone.modules() if list(m.parameters(False)) or list(m.buffers(False))}
    assert stateful <= set(listed)
    order = [id(p) for block in found for p in block_parameters(block)]
    assert order == [id(p) for p in backbone.parameters()]


def test_timms_blocks_end_where_its_resolutions_do() -> None:
    backbone = build(resolve_model(model(name="resnet18"), (1, 32, 32), 2)).backbone
    name_of = {id(module): name for name, module in backbone.named_modules()}
    holders = [
        {name_of[id(m)].split(".")[0] for m in block if list(m.parameters(False))}
        for block in blocks(backbone)
    ]
    assert holders == [{"conv1", "bn1"}, {"layer1"}, {"layer2"}, {"layer3"}, {"layer4"}]


def test_single_layers_join_the_block_before_them() -> None:
    stage = lambda: nn.Sequential(nn.Conv2d(2, 2, 1), nn.ReLU())  # noqa: E731
    backbone = nn.Sequential(nn.Conv2d(2, 2, 1), nn.ReLU(), stage(), stage(), nn.BatchNorm2d(2))
    assert [[type(m).__name__ for m in block if list(m.parameters(False))] for block in blocks(backbone)] == [
        ["Conv2d"],
        ["Conv2d"],
        ["Conv2d", "BatchNorm2d"],
    ]


def test_parameters_of_the_backbone_itself_are_in_the_first_block() -> None:
    backbone = nn.Sequential(nn.Sequential(nn.Conv2d(1, 2, 1)), nn.Sequential(nn.Conv2d(2, 2, 1)))
    backbone.register_parameter("scale", nn.Parameter(backbone[0][0].weight.detach().clone()))
    assert any(p is backbone.scale for p in block_parameters(blocks(backbone)[0]))

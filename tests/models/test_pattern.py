"""Layer patterns: what is written is what is built, and what can't be built is refused by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from scanlens.errors import SettingsError
from scanlens.models.architecture import Architecture
from scanlens.models.classifier import ACTIVATIONS
from scanlens.models.pattern import build_pattern
from scanlens.models.registry import build

Make = Callable[..., Architecture]
BLOCKS: list[dict[str, Any]] = [
    {"filters": 4, "kernel": 5, "stride": 2, "pool": "none"},
    {"filters": 6, "convolutions": 2, "pool": "average"},
]


@pytest.fixture
def pattern(architecture: Make) -> Make:
    """A pattern of two blocks; ``args`` replace parts of its arguments, keywords of the architecture."""

    def make(args: dict[str, Any] | None = None, **changes: Any) -> Architecture:
        default = {"name": "pattern", "stem": "standard", "width": 1.0, "size": (20, 18)}
        return architecture(**{**default, **changes}, args={"blocks": BLOCKS, **(args or {})})

    return make


def one(**block: Any) -> dict[str, Any]:
    """Arguments of a pattern of one block."""
    return {"blocks": [{"filters": 4, **block}]}


def layers(network: nn.Module) -> list[str]:
    return [type(module).__name__ for module in network.modules() if not list(module.children())]


def test_the_layers_are_those_written(pattern: Make) -> None:
    network = build_pattern(pattern({"dropout": 0.25}, activation="tanh"))
    assert layers(network) == [
        "Conv2d", "BatchNorm2d", "Tanh",
        "Dropout2d", "Conv2d", "BatchNorm2d", "Tanh", "Conv2d", "BatchNorm2d", "Tanh", "AvgPool2d",
    ]  # fmt: skip
    assert network[1].layers[0].p == 0.25
    volume = build_pattern(pattern({"norm": "none", "dropout": 0.25}, size=(9, 10, 11)))
    assert layers(volume) == ["Conv3d", "ReLU", "Dropout3d", "Conv3d", "ReLU", "Conv3d", "ReLU", "AvgPool3d"]


def test_it_computes_what_the_same_layers_by_hand_do(pattern: Make) -> None:
    network = build_pattern(pattern({"norm": "none"})).eval()
    state = list(network.state_dict().values())
    scans = torch.randn(2, 1, 20, 18)
    maps = torch.conv2d(scans, state[0], state[1], stride=2, padding=2).relu()
    maps = torch.conv2d(maps, state[2], state[3], padding=1).relu()
    maps = torch.conv2d(maps, state[4], state[5], padding=1).relu()
    expected = torch.nn.functional.avg_pool2d(maps, 2)
    with torch.inference_mode():
        torch.testing.assert_close(network(scans), expected)


@pytest.mark.parametrize(
    ("block", "grid"),
    [
        ({"pool": "none"}, (20, 18)),
        ({"pool": "none", "padding": "valid"}, (18, 16)),
        ({"pool": "none", "padding": "valid", "kernel": 4, "convolutions": 2}, (14, 12)),
        ({"pool": "none", "kernel": 7, "stride": 3}, (7, 6)),
        ({"pool": "none", "padding": "valid", "stride": 3}, (6, 6)),
        ({"pool": "none", "stride": 2, "convolutions": 3}, (10, 9)),
        ({}, (10, 9)),
        ({"pool": "average", "pool_size": 4}, (5, 4)),
        ({"pool": "max", "pool_size": 3, "pool_stride": 2}, (9, 8)),
    ],
    ids=str,
)
def test_sizes_follow_from_the_block(pattern: Make, block: dict[str, Any], grid: tuple[int, ...]) -> None:
    for size, expected in (((20, 18), grid), ((20, 18, 20), (*grid, grid[0]))):
        network = build_pattern(pattern(one(**block), size=size)).eval()
        with torch.inference_mode():
            assert network(torch.zeros(1, 1, *size)).shape == (1, 4, *expected)


def seen(made: Architecture) -> tuple[Any, ...]:
    """Layers, weights and answer."""
    network = build(made, 1).eval()
    scans = torch.randn(1, made.channels, *made.size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        answer = network(scans)
    state = {name: tuple(tensor.flatten()[:20].tolist()) for name, tensor in network.state_dict().items()}
    return layers(network), state, answer.tolist()


@pytest.mark.parametrize(
    "change",
    [
        {"filters": 5}, {"convolutions": 2}, {"kernel": 5}, {"stride": 2}, {"padding": "valid"},
        {"pool": "average"}, {"pool_size": 3}, {"pool_stride": 1},
    ],
    ids=str,
)  # fmt: skip
def test_every_setting_of_a_block_changes_the_network(pattern: Make, change: dict[str, Any]) -> None:
    assert seen(pattern(one())) != seen(pattern(one(**change)))


@pytest.mark.parametrize(("padding", "grid"), [("same", (20, 18)), ("valid", (16, 14))])
def test_convolutions_after_the_first_may_have_a_kernel_of_their_own(
    pattern: Make, padding: str, grid: tuple[int, int]
) -> None:
    backbone = build_pattern(
        pattern(one(kernel=5, next_kernel=1, convolutions=3, padding=padding, pool="none"))
    )
    kernels = [m.kernel_size[0] for m in backbone.modules() if isinstance(m, nn.Conv2d)]
    assert kernels == [5, 1, 1]
    with torch.inference_mode():
        assert backbone(torch.zeros(1, 1, 20, 18)).shape[2:] == grid


@pytest.mark.parametrize(
    "change",
    [
        {"args": {"norm": "none"}}, {"args": {"dropout": 0.3}}, {"args": {"initial": "xavier"}},
        {"args": {"initial": "default"}}, {"width": 0.5}, {"hidden": (7,)}, {"stem": "small"},
        {"activation": "sigmoid"},
    ],
    ids=str,
)  # fmt: skip
def test_every_setting_of_the_pattern_changes_the_network(pattern: Make, change: dict[str, Any]) -> None:
    assert seen(pattern()) != seen(pattern(**change))


@pytest.mark.parametrize(
    ("stem", "kernel", "stride"), [("small", 5, 1), ("medium", 7, 2), ("standard", 11, 4)]
)
def test_the_stem_bounds_the_first_convolution_only(
    pattern: Make, stem: str, kernel: int, stride: int
) -> None:
    coarse = {"filters": 4, "kernel": 11, "stride": 4, "pool": "none"}
    network = build_pattern(pattern({"blocks": [coarse, coarse]}, stem=stem))
    first, second = (module for module in network.modules() if isinstance(module, nn.Conv2d))
    assert (first.kernel_size[0], first.stride[0]) == (kernel, stride)
    assert (second.kernel_size[0], second.stride[0]) == (11, 4)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("initial", ["he", "xavier"])
def test_first_weights_have_the_published_spread(pattern: Make, initial: str, activation: str) -> None:
    """He: gain^2 / fan in. Glorot: gain^2 * 2 / (fan in + fan out)."""
    args = {"blocks": [{"filters": 200, "kernel": 5}], "norm": "none", "initial": initial}
    network = build(pattern(args, channels=8, hidden=(300,), activation=activation))
    gain = {"relu": math.sqrt(2), "leaky_relu": math.sqrt(2 / (1 + 1e-4)), "tanh": 5 / 3, "sigmoid": 1.0}
    for layer, inputs, outputs in (
        (network.backbone[0].layers[0], 8 * 25, 200 * 25),
        (network.hidden[0], 200, 300),
    ):
        spread = 1 / inputs if initial == "he" else 2 / (inputs + outputs)
        assert layer.weight.var().item() == pytest.approx(gain[activation] ** 2 * spread, rel=0.05)
        assert not layer.bias.any()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"blocks": []}, r"blocks must be given.*conf/model/pattern\.yaml"),
        ({"blocks": 3}, r"model\.args\.blocks is 3; expected a list"),
        ({"blocks": [3]}, r"model\.args\.blocks\[0\] is 3"),
        ({"blocks": [{"kernel": 3}]}, r"model\.args\.blocks\[0\] has no filters"),
        (one(filter=3), r"blocks\[0\]\.filter is not a setting\. Did you mean filters"),
        (one(kernel="3"), r"blocks\[0\]\.kernel is '3'; expected a whole number"),
        (one(padding="full"), r"blocks\[0\]\.padding is 'full'; expected same \| valid"),
        (one(filters=0), r"blocks\[0\]\.filters is 0; expected a whole number of at least 1"),
        (one(pool_stride=0), r"blocks\[0\]\.pool_stride is 0"),
        (one(next_kernel=2), r"blocks\[0\]\.next_kernel is 2, which has no middle"),
        (one(next_kernel=0), r"blocks\[0\]\.next_kernel is 0; expected a whole number of at least 1"),
        (one(kernel=4), r"blocks\[0\]\.kernel is 4, which has no middle.*valid"),
        (one(kernel=19, padding="valid"), r"Block 0 of pattern: the kernel of 19 is larger .* 20 x 18"),
        (one(pool_size=19), r"the pooling of 19 is larger than its map, 20 x 18.*preprocess\.size"),
        ({"blocks": [{"filters": 2}] * 5}, r"Block 4 of pattern: the pooling of 2 .* 1 x 1"),
        ({"norms": "batch"}, r"model\.args\.norms is not a setting\. Did you mean norm"),
        ({"norm": "layer"}, r"model\.args\.norm is 'layer'; expected batch \| none"),
        ({"initial": "zero"}, r"model\.args\.initial is 'zero'; expected default \| he \| xavier"),
        ({"dropout": 1.0}, r"model\.args\.dropout is 1\.0"),
    ],
    ids=str,
)  # fmt: skip
def test_what_can_not_be_built_is_refused_by_name(pattern: Make, args: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        build(pattern(args))


def test_dropout_takes_whole_maps(pattern: Make) -> None:
    blocks = [{"filters": 64, "pool": "none"}, {"filters": 64, "pool": "none"}]
    network = build_pattern(pattern({"blocks": blocks, "dropout": 0.5, "norm": "none"}, activation="sigmoid"))
    dropped: list[torch.Tensor] = []
    network[1].layers[0].register_forward_hook(lambda _, __, maps: dropped.append(maps))
    network.train()(torch.randn(4, 1, 20, 18))
    zero = (dropped[0] == 0).flatten(2)
    assert torch.equal(zero.all(2), zero.any(2))
    assert 0.3 < zero.all(2).float().mean() < 0.7


@pytest.mark.parametrize(
    ("stem", "size", "grid"),
    [
        ("small", (20, 20, 24), (4, 4, 5)),  # 20, 9 and 4: the third pooling would leave 1
        ("small", (28, 28), (2, 2)),  # 28, 13, 6 and 2
        ("medium", (40, 64), (4, 7)),  # 20, 9 and 4
        ("standard", (20, 20), None),
    ],
)
def test_stems_by_size_leave_out_poolings_down_to_one_cell(
    architecture: Make, stem: str, size: tuple[int, ...], grid: tuple[int, ...] | None
) -> None:
    pooled = {"pool": "max", "pool_size": 3, "pool_stride": 2}
    blocks = [{"filters": 4, "kernel": 11, "stride": 4, **pooled}, *[{"filters": 4, **pooled}] * 2]
    made = architecture(name="pattern", stem=stem, width=1.0, size=size, args={"blocks": blocks})
    if grid is None:
        with pytest.raises(SettingsError, match="pooling of 3 is larger than its map"):
            build(made)
    else:
        assert build(made).backbone(torch.zeros(1, 1, *size)).shape[2:] == grid

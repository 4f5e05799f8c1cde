"""An architecture survives JSON, and nothing in it is without effect."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch

from scanlens.models.architecture import Architecture
from scanlens.models.registry import build

Make = Callable[..., Architecture]


def test_json_round_trip(architecture: Make) -> None:
    one = architecture(args={"blocks": [{"filters": 4}], "norm": "none"}, hidden=(8, 4))
    text = json.dumps(one.to_json(), allow_nan=False)
    again = Architecture.from_json(json.loads(text))
    assert again == one
    assert isinstance(again.size, tuple)
    assert isinstance(again.hidden, tuple)


def test_an_unknown_or_missing_key_is_no_architecture(architecture: Make) -> None:
    values = architecture().to_json()
    with pytest.raises(TypeError, match="depth"):
        Architecture.from_json({**values, "depth": 3})
    values.pop("stem")
    with pytest.raises(TypeError, match="stem"):
        Architecture.from_json(values)


BASE = {"name": "resnet18", "library": "timm", "stem": "small", "size": (32, 32), "width": 0.25}


def behaviour(made: Architecture) -> tuple[Any, ...]:
    """What of a network can be seen from outside: tensors, grid, dropout and what it makes of outputs."""
    network = build(made, 0).eval()
    with torch.inference_mode():
        grid = network.explain(torch.zeros(1, made.channels, *made.size)).local.shape
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    return shapes, tuple(grid), network.dropout.p, network.kind, type(network.act)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "resnet26"},
        {"library": "monai"},
        {"stem": "standard"},
        {"stem": "medium"},
        {"width": 0.5},
        {"channels": 3},
        {"size": (64, 32)},
        {"classes": 2},
        {"dropout": 0.5},
        {"head": "sigmoid"},
        {"head": "ordinal"},
        {"head": "regression"},
        {"pooling": "flatten"},
        {"hidden": (5,)},
        {"activation": "tanh"},
        {"args": {"avg_down": True}},
    ],
    ids=str,
)
def test_every_argument_changes_the_network(architecture: Make, change: dict[str, Any]) -> None:
    assert behaviour(architecture(**BASE)) != behaviour(architecture(**{**BASE, **change}))

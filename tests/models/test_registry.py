"""Names to networks: reproducible, and wrong names are refused with the choices."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from scanlens.errors import SettingsError
from scanlens.models.architecture import Architecture
from scanlens.models.classifier import Classifier
from scanlens.models.registry import OWN, build, resolve_model
from tests.helpers.settings import model_section
from tests.helpers.tiny import model

Make = Callable[..., Architecture]


def same(one: Classifier, two: Classifier) -> bool:
    pairs = zip(one.state_dict().values(), two.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize(
    ("name", "library", "size"),
    [("cnn", "scanlens", (16, 16)), ("resnet18", "timm", (32, 32)), ("resnet10", "monai", (16, 16, 16))],
)
def test_the_seed_decides_the_weights(architecture: Make, name: str, library: str, size: Any) -> None:
    made = architecture(name=name, library=library, size=size)
    torch.manual_seed(1)
    first = build(made, 3)
    torch.manual_seed(2)
    assert same(first, build(made, 3))
    assert not same(first, build(made, 4))


def test_building_leaves_the_global_generator_alone(architecture: Make) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    build(architecture(), 1)
    assert torch.equal(torch.rand(3), expected)


def test_building_updates_no_batch_statistics(architecture: Make) -> None:
    network = build(architecture())
    assert network.training
    for name, tensor in network.state_dict().items():
        if name.endswith("num_batches_tracked"):
            assert tensor == 0


@pytest.mark.parametrize(
    ("name", "shape", "library"),
    [
        ("cnn", (1, 32, 32), "scanlens"),
        ("cnn", (1, 16, 16, 16), "scanlens"),
        ("dense", (1, 16, 16), "scanlens"),
        ("edges", (1, 16, 16, 16), "scanlens"),
        ("pattern", (1, 16, 16), "scanlens"),
        ("resnet18", (3, 32, 32), "timm"),
        ("resnet18", (1, 16, 16, 16), "monai"),
    ],
)
def test_auto_library(name: str, shape: tuple[int, ...], library: str) -> None:
    args = model_section("pattern")["args"] if name == "pattern" else {}
    made = resolve_model(model(name=name, args=args), shape, 4)
    assert made.library == library
    assert (made.channels, made.size, made.classes) == (shape[0], shape[1:], 4)


@pytest.mark.parametrize(
    ("shape", "stem"),
    [
        ((1, 64, 28), "small"),
        ((1, 28, 65), "medium"),
        ((1, 160, 160), "medium"),
        ((1, 161, 28), "standard"),
        ((1, 32, 32, 32), "small"),
        ((1, 33, 8, 8), "standard"),
    ],
)
def test_auto_stem_goes_by_the_longest_side(shape: tuple[int, ...], stem: str) -> None:
    assert resolve_model(model(), shape, 2).stem == stem
    assert resolve_model(model(stem="medium"), shape, 2).stem == "medium"


def test_unknown_names_list_choices(architecture: Make) -> None:
    with pytest.raises(SettingsError, match=r"resnet1888 is unknown to timm.*resnet18"):
        build(architecture(name="resnet1888", library="timm", size=(32, 32)))
    with pytest.raises(SettingsError, match=r"resnet19 has no 3-D form.*resnet18.*densenet121"):
        build(architecture(name="resnet19", library="monai", size=(16, 16, 16)))
    with pytest.raises(
        SettingsError, match=r"scanlens has no resnet18\. Choices: lean, cnn, pattern, dense, edges"
    ):
        build(architecture(name="resnet18", library="scanlens"))
    with pytest.raises(SettingsError, match=r"scanlens has no patern\. Did you mean pattern\?"):
        build(architecture(name="patern", library="scanlens"))


@pytest.mark.parametrize("hidden", [(0,), (8, -1)])
def test_impossible_hidden_layers_are_refused(architecture: Make, hidden: tuple[int, ...]) -> None:
    with pytest.raises(SettingsError, match=r"model\.hidden is \[.*at least 1"):
        build(architecture(hidden=hidden))


@pytest.mark.parametrize(
    ("task", "head"),
    [
        ("auto", "softmax"),
        ("binary", "softmax"),
        ("multiclass", "softmax"),
        ("ordinal", "ordinal"),
        ("regression", "regression"),
    ],
)
def test_auto_head_goes_by_the_task(task: str, head: str) -> None:
    assert resolve_model(model(), (1, 16, 16), 3, task).head == head
    assert resolve_model(model(head="sigmoid"), (1, 16, 16), 3, task).head == "sigmoid"


@pytest.mark.parametrize(
    ("shape", "stem"),
    [
        ((1, 64, 64), "small"),
        ((1, 160, 9), "medium"),
        ((1, 96, 40, 40), "medium"),
        ((1, 97, 40, 40), "standard"),
    ],
)
def test_stems_of_patterns(shape: tuple[int, ...], stem: str) -> None:
    assert resolve_model(model(name="pattern", args=model_section("pattern")["args"]), shape, 2).stem == stem


def test_timm_is_refused_for_volumes(architecture: Make) -> None:
    with pytest.raises(SettingsError, match=r"no networks for volumes.*model\.library=monai"):
        build(architecture(name="resnet18", library="timm", size=(16, 16, 16)))


def test_networks_without_feature_maps_are_refused(architecture: Make, monkeypatch: Any) -> None:
    monkeypatch.setitem(OWN, "rows", lambda _: nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(2)))
    with pytest.raises(
        SettingsError, match=r"model\.name rows has no spatial features: 1 axes, not 2.*convol"
    ):
        build(architecture(name="rows"))


def test_the_plain_network_needs_neither_timm_nor_monai(monkeypatch: Any, architecture: Make) -> None:
    for name in ("timm", "monai", "scanlens.models.timm_backbones", "scanlens.models.monai_backbones"):
        monkeypatch.setitem(sys.modules, name, None)
    assert build(architecture()).head.out_features == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"library": "torchvison"}, r"model\.library is 'torchvison'\. Choices: scanlens, timm, monai"),
        ({"stem": "tiny"}, r"model\.stem is 'tiny'\. Choices: standard, medium, small"),
        ({"head": "crystal ball"}, r"model\.head is 'crystal ball'"),
        ({"activation": "swish"}, r"model\.activation is 'swish'"),
        ({"head": "ordinal", "classes": 1}, "can't tell 1 classes apart"),
        ({"classes": 0}, "can't tell 0 classes apart"),
        ({"size": (10**6, 10**6)}, "1 x 1000000 x 1000000 .* at most 134,217,728 values"),
        ({"size": (16,)}, "two or three sides"),
        ({"channels": -1}, "-1 x 16 x 12"),
        (
            {"name": "resnet18", "library": "timm", "args": {"layers": [10**9, 1, 1, 1]}},
            "number above 65,536",
        ),
        ({"name": "resnet18", "library": "timm", "args": {"in_chans": 5}}, "in_chans: the scans and"),
        ({"name": "resnet18", "library": "monai", "args": {"num_classes": 5}}, "num_classes: the scans and"),
        (
            {"name": "resnet18", "library": "timm", "args": {"act_layer": "nope"}},
            "args do not fit resnet18: ",
        ),
        ({"name": "resnet18", "library": "timm", "args": {"output_stride": 7}}, "args do not fit resnet18: "),
        ({"name": "resnet18", "library": "monai", "args": {"act": "nope"}}, "args do not fit resnet18: "),
    ],
    ids=str,
)
def test_what_no_network_can_be_is_refused_in_one_line(
    architecture: Make, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        build(architecture(**change))
    assert "\n" not in str(caught.value)

"""Which layers keep cells, what a pass records from one of them on, and what is said where none does."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from scanlens.config.parse import parse
from scanlens.config.schema import Model
from scanlens.errors import ScanlensError, SettingsError
from scanlens.methods.gradcam import CAM_METHODS, class_maps
from scanlens.methods.target import one_cell, split, target_layers
from scanlens.models.classifier import Classifier
from scanlens.models.ensemble import Ensemble
from scanlens.models.registry import build, resolve_model
from tests.helpers.settings import model_section


def made(name: str, shape: tuple[int, ...], **changes: Any) -> Classifier:
    return build(resolve_model(parse(Model, {**model_section(name), **changes}, "model"), shape, 3)).eval()


class Branched(nn.Module):
    """A shortcut round a block, an activation used twice and in place, and a gate without cells."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 6, 3, stride=2)
        self.relu = nn.ReLU(inplace=True)
        self.block = nn.Conv2d(6, 6, 3, padding=1)
        self.gate = nn.AdaptiveAvgPool2d(1)
        self.unused = nn.Conv2d(6, 6, 1)
        self.aside = nn.Conv2d(6, 6, 1)

    def forward(self, scans: Tensor) -> Tensor:
        first = self.relu(self.stem(scans))
        self.aside(first)
        second = self.block(first) * torch.sigmoid(self.gate(first))
        second += first
        return self.relu(second)


def branched() -> tuple[Classifier, Tensor]:
    torch.manual_seed(0)
    return Classifier(Branched(), 6, 3, 0.0).eval(), torch.randn(2, 1, 19, 15)


def test_layers_come_last_to_first_and_keep_cells() -> None:
    network, _ = branched()
    assert target_layers(network, (1, 19, 15)) == ["block", "aside", "stem"]


def test_of_an_ensemble_the_first_member_tells() -> None:
    network, _ = branched()
    assert target_layers(Ensemble([network]).eval(), (1, 19, 15)) == ["block", "aside", "stem"]


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("resnet18", (1, 64, 48), ("layer4", "layer1.0.conv1", "conv1")),
        ("densenet121", (1, 64, 64), ("features.norm5", "features.conv0")),
        ("convnext_tiny", (1, 64, 48), ("stages.3.blocks.0.mlp.fc1", "stem.0")),
        ("vit_tiny", (2, 64, 48), ("blocks.11", "blocks.0.mlp", "patch_embed.proj")),
        ("swin_tiny", (1, 64, 64), ("layers.3", "layers.0.blocks.0", "patch_embed.proj")),
        ("cnn", (1, 24, 24, 20), ("3", "0.layers.0")),
        ("dense", (1, 16, 16), ()),
    ],
)
def test_every_kind_of_network_shows_its_layers_and_maps_them(
    name: str, shape: tuple[int, ...], expected: tuple[str, ...]
) -> None:
    network = made(name, shape)
    found = target_layers(network, shape)
    assert [layer for layer in found if layer in expected] == list(expected)
    for layer in expected[:2]:
        grid = class_maps(network, torch.randn(2, *shape), layer=layer).shape[2:]
        assert len(grid) == len(shape) - 1
        assert min(grid) > 1
        # Square cells: the grid has the scan's proportions.
        assert max(shape[1:]) / max(grid) == pytest.approx(min(shape[1:]) / min(grid), rel=0.25)


def test_what_goes_round_the_layer_takes_part() -> None:
    """Against a plain pass that records everything, at a layer with a shortcut round it."""
    network, scans = branched()
    parts = split(network, scans, "block")
    backbone = network.backbone
    first = backbone.stem(scans).relu()
    features = backbone.block(first).detach().requires_grad_()
    maps = (features * torch.sigmoid(first.mean((2, 3), keepdim=True)) + first).relu()
    logits = network.classify(network.pool(maps))
    torch.testing.assert_close(parts.logits, logits)
    torch.testing.assert_close(parts.features, features)
    for number in range(3):
        ours = torch.autograd.grad(parts.logits[:, number].sum(), parts.features, retain_graph=True)[0]
        theirs = torch.autograd.grad(logits[:, number].sum(), features, retain_graph=True)[0]
        torch.testing.assert_close(ours, theirs)


def test_nothing_before_the_layer_is_recorded() -> None:
    network, scans = branched()
    parts = split(network, scans, "block")
    (gradient,) = torch.autograd.grad(
        parts.logits.sum(), next(network.backbone.stem.parameters()), allow_unused=True
    )
    assert gradient is None


def test_names_may_start_with_backbone() -> None:
    network, scans = branched()
    torch.testing.assert_close(
        class_maps(network, scans, layer="backbone.block"), class_maps(network, scans, layer="block")
    )
    torch.testing.assert_close(class_maps(network, scans, layer="backbone"), class_maps(network, scans))


def test_an_unknown_layer_names_close_ones_and_how_to_list_them() -> None:
    network = made("resnet18", (1, 32, 32), width=0.125)
    with pytest.raises(SettingsError, match=r"layer3\.1\.conv2.*scanlens model NAME"):
        class_maps(network, torch.zeros(1, 1, 32, 32), layer="layer3.1.conv22")


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("gate", "keeps no cells.*These do, last to first: block, aside, stem"),
        ("relu", "runs more than once"),
        ("unused", "does not run"),
        ("aside", "do not depend on layer"),
    ],
)
def test_layers_that_do_not_serve_are_refused(layer: str, message: str) -> None:
    network, scans = branched()
    with pytest.raises(SettingsError, match=message):
        class_maps(network, scans, layer=layer)
    assert torch.is_grad_enabled()
    assert not any(module._forward_hooks for module in network.modules())


@pytest.mark.parametrize("method", CAM_METHODS)
def test_a_network_on_pixels_is_offered_occlusion(method: str) -> None:
    for layer in (None, "hidden.0"):
        with pytest.raises(SettingsError, match=r"pixels themselves.*scanlens explain --method occlusion"):
            class_maps(made("dense", (1, 16, 16)), torch.zeros(1, 1, 16, 16), method, layer)


@pytest.mark.parametrize("pooling", ["average", "flatten"])
def test_a_backbone_that_gives_one_vector_a_scan_is_offered_occlusion(pooling: str) -> None:
    backbone = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Unflatten(1, (4, 1))
    )
    network = Classifier(backbone, 4, 3, 0.0, pooling=pooling).eval()
    with pytest.raises(SettingsError, match=r"backbone gives \(4, 1\).*scanlens explain --method occlusion"):
        class_maps(network, torch.zeros(1, 1, 9, 9))


@pytest.mark.parametrize("layer", [None, "block"])
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_features_that_are_not_finite_name_the_layer_and_the_scan(layer: str | None, bad: float) -> None:
    network, scans = branched()
    with torch.no_grad():
        network.backbone.block.weight[:] = bad
    with pytest.raises(ScanlensError, match=f"backbone{'.block' if layer else ''} gives values.*scan 0, 1"):
        class_maps(network, scans, layer=layer)


def test_a_scan_that_is_not_finite_is_blamed_itself() -> None:
    network, scans = branched()
    scans[1, 0, 3, 3] = torch.nan
    with pytest.raises(ScanlensError, match="Scan 1 of the batch holds"):
        class_maps(network, scans)


def test_a_single_place_has_a_message() -> None:
    assert one_cell((1, 2)) == ""
    assert "single cell (1 x 1 x 1)" in one_cell((1, 1, 1))

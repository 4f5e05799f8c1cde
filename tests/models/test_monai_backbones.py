"""MONAI's networks, cut: the same numbers as the whole network gives before its head."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from monai.networks import nets

from scanlens.errors import SettingsError
from scanlens.models.architecture import Architecture
from scanlens.models.monai_backbones import build_monai

Make = Callable[..., Architecture]
SIZE = (32, 32, 32)


@pytest.fixture
def volume(architecture: Make) -> Make:
    def make(**changes: object) -> Architecture:
        base = {"name": "resnet10", "library": "monai", "size": SIZE, "width": 0.25, "stem": "standard"}
        return architecture(**{**base, **changes})

    return make


def test_resnet_features_are_monais(volume: Make) -> None:
    backbone = build_monai(volume()).eval()
    whole = nets.resnet10(
        spatial_dims=3, n_input_channels=1, num_classes=2, conv1_t_stride=2, widen_factor=0.25
    ).eval()
    parts = zip(
        (whole.conv1, whole.bn1, whole.layer1, whole.layer2, whole.layer3, whole.layer4),
        (backbone.stem[0], backbone.stem[1], *backbone.layers),
        strict=True,
    )
    for theirs, ours in parts:
        theirs.load_state_dict(ours.state_dict())
    scans = torch.randn(2, 1, *SIZE)
    with torch.inference_mode():
        pooled = backbone(scans).flatten(2).mean(2)
        torch.testing.assert_close(whole.fc(pooled), whole(scans))


def test_densenet_features_are_monais(volume: Make) -> None:
    backbone = build_monai(volume(name="densenet121", width=1.0)).eval()
    whole = nets.DenseNet121(spatial_dims=3, in_channels=1, out_channels=2).eval()
    whole.features.load_state_dict(backbone.layers.state_dict())
    scans = torch.randn(1, 1, *SIZE)
    with torch.inference_mode():
        pooled = backbone(scans).flatten(2).mean(2)
        torch.testing.assert_close(whole.class_layers.out(pooled), whole(scans))


@pytest.mark.parametrize("name", ["resnet10", "densenet169", "efficientnet_b0"])
@pytest.mark.parametrize("size", [(28, 28, 28), (64, 48)])
def test_small_scans_keep_cells(volume: Make, name: str, size: tuple[int, ...]) -> None:
    width = 0.25 if name == "resnet10" else 1.0
    small = {"args": {"block_config": (2, 2, 2, 2)}} if name == "densenet169" else {}
    backbone = build_monai(volume(name=name, width=width, size=size, stem="small", **small)).eval()
    with torch.inference_mode():
        grid = backbone(torch.zeros(1, 1, *size)).shape[2:]
    assert min(grid) >= 2
    assert len(grid) == len(size)


def test_efficientnet_features_are_monais(volume: Make) -> None:
    backbone = build_monai(volume(name="efficientnet_b0", width=1.0)).eval()
    whole = nets.EfficientNetBN("efficientnet-b0", spatial_dims=3, in_channels=1, num_classes=2).eval()
    assert sum(p.numel() for p in backbone.parameters()) == sum(
        p.numel() for name, p in whole.named_parameters() if not name.startswith("_fc")
    )


@pytest.mark.parametrize(("stem", "side"), [("standard", 1), ("medium", 2), ("small", 2)])
def test_the_stem_decides_the_grid(volume: Make, stem: str, side: int) -> None:
    with torch.inference_mode():
        maps = build_monai(volume(stem=stem)).eval()(torch.zeros(1, 1, *SIZE))
    # Stride 2, then (standard only) pooling by 2, then three halvings.
    assert maps.shape[2:] == (side,) * 3


def test_what_does_not_fit_is_refused(volume: Make) -> None:
    with pytest.raises(SettingsError, match=r"model\.args do not fit resnet10.*wings"):
        build_monai(volume(args={"wings": 2}))
    with pytest.raises(SettingsError, match=r"model\.args do not fit densenet121.*wings"):
        build_monai(volume(name="densenet121", width=1.0, args={"wings": 2}))
    with pytest.raises(SettingsError, match=r"resnet99 has no 3-D form.*resnet10, .*densenet169"):
        build_monai(volume(name="resnet99"))


def test_a_width_a_densenet_does_not_have_is_refused(volume: Make) -> None:
    with pytest.raises(SettingsError, match=r"model\.width=0\.5.*densenet121.*model\.width=1"):
        build_monai(volume(name="densenet121", width=0.5))

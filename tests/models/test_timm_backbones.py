"""Stems shrink where images are small; what timm refuses is said in one line."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import timm
import torch

from scanlens.errors import SettingsError
from scanlens.models.architecture import Architecture
from scanlens.models.timm_backbones import build_timm

Make = Callable[..., Architecture]


@pytest.fixture
def resnet(architecture: Make) -> Make:
    def make(**changes: object) -> Architecture:
        base = {"name": "resnet18", "library": "timm", "size": (64, 64), "width": 0.25}
        return architecture(**{**base, **changes})

    return make


@pytest.mark.parametrize(("stem", "side"), [("standard", 2), ("medium", 4), ("small", 8)])
def test_the_stem_decides_the_grid(resnet: Make, stem: str, side: int) -> None:
    network = build_timm(resnet(stem=stem)).eval()
    with torch.inference_mode():
        assert network(torch.zeros(1, 1, 64, 64)).shape[2:] == (side, side)


def test_the_standard_stem_is_timms_own_network(resnet: Make) -> None:
    network = build_timm(resnet(stem="standard", width=1.0, channels=3)).eval()
    own = timm.create_model("resnet18", pretrained=False, num_classes=0).eval()
    own.load_state_dict(network.state_dict())
    scans = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(network(scans), own.forward_features(scans))


def test_a_patch_stem_stays_as_it_is(architecture: Make) -> None:
    made = architecture(name="convnext_atto", library="timm", stem="small", width=1.0, size=(32, 32))
    first = next(m for m in build_timm(made).modules() if isinstance(m, torch.nn.Conv2d))
    assert first.kernel_size == first.stride == (4, 4)


def test_width_scales_the_resnets_features(resnet: Make) -> None:
    assert build_timm(resnet(width=0.5)).num_features == 256


def test_width_of_another_family_is_refused(resnet: Make) -> None:
    with pytest.raises(SettingsError, match=r"model\.width=0\.5 fits ResNets only, not densenet121"):
        build_timm(resnet(name="densenet121", width=0.5))


def test_unfit_arguments_are_refused(resnet: Make) -> None:
    with pytest.raises(SettingsError, match=r"model\.args do not fit resnet18.*wings"):
        build_timm(resnet(args={"wings": 2}))

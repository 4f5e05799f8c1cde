"""Stems shrink where images are small; what timm refuses is said in one line."""

from __future__ import annotations

import copy
from collections.abc import Callable
from types import SimpleNamespace

import psutil
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


@pytest.mark.parametrize(("stem", "stride"), [("standard", 4), ("medium", 2), ("small", 1)])
def test_patches_keep_their_kernel_and_overlap(architecture: Make, stem: str, stride: int) -> None:
    made = architecture(name="convnext_atto", library="timm", stem=stem, width=1.0, size=(32, 32))
    network = build_timm(made).eval()
    first = next(m for m in network.modules() if isinstance(m, torch.nn.Conv2d))
    assert first.kernel_size == (4, 4)
    assert first.stride == (stride, stride)


def test_tokens_become_a_grid_in_place(architecture: Make) -> None:
    made = architecture(
        name="vit_tiny_patch16_224", library="timm", stem="standard", width=1.0, size=(32, 48), channels=3
    )
    network = build_timm(made).eval()
    scans = torch.randn(2, 3, 32, 48)
    with torch.inference_mode():
        maps, tokens = network(scans), network.forward_features(scans)
    assert maps.shape == (2, 192, 2, 3)
    # Row by row, after the class token.
    torch.testing.assert_close(maps[:, :, 1, 2], tokens[:, 1 + 5])


def test_features_last_are_transposed(architecture: Make) -> None:
    made = architecture(
        name="swin_tiny_patch4_window7_224", library="timm", stem="standard", width=1.0, size=(64, 96)
    )
    network = build_timm(made).eval()
    scans = torch.randn(1, 1, 64, 96)
    with torch.inference_mode():
        torch.testing.assert_close(network(scans), network.forward_features(scans).permute(0, 3, 1, 2))
        assert network(scans).shape == (1, 768, 2, 3)


def test_sizes_that_patches_do_not_divide_are_resized(architecture: Make) -> None:
    made = architecture(name="vit_tiny_patch16_224", library="timm", stem="small", width=1.0, size=(28, 20))
    with torch.inference_mode():
        assert build_timm(made).eval()(torch.zeros(1, 1, 28, 20)).shape[2:] == (4, 3)


@pytest.mark.parametrize("name", ["mixer_s16_224", "levit_128s", "coat_lite_tiny", "maxvit_rmlp_pico_rw_256"])
def test_other_layouts(architecture: Make, name: str) -> None:
    made = architecture(name=name, library="timm", stem="standard", width=1.0, size=(64, 64))
    with torch.inference_mode():
        assert build_timm(made).eval()(torch.zeros(2, 1, 64, 64)).ndim == 4


def test_weights_keep_timms_names(architecture: Make) -> None:
    for name in ("vit_tiny_patch16_224", "vgg11_bn", "swin_tiny_patch4_window7_224"):
        made = architecture(name=name, library="timm", stem="standard", width=1.0, size=(224, 224))
        own = timm.create_model(name, in_chans=1).state_dict()
        ours = build_timm(made).state_dict()
        assert all(own[key].shape == weights.shape for key, weights in ours.items())


def test_width_scales_the_resnets_features(resnet: Make) -> None:
    assert build_timm(resnet(width=0.5)).num_features == 256


def test_width_of_another_family_is_refused(resnet: Make) -> None:
    with pytest.raises(SettingsError, match=r"model\.width=0\.5 fits ResNets only, not densenet121"):
        build_timm(resnet(name="densenet121", width=0.5))


def test_unfit_arguments_are_refused(resnet: Make) -> None:
    with pytest.raises(SettingsError, match=r"model\.args do not fit resnet18.*wings"):
        build_timm(resnet(args={"wings": 2}))


def test_patches_given_as_one_number(architecture: Make) -> None:
    made = architecture(name="xcit_nano_12_p16_224", library="timm", size=(32, 48), width=1.0)
    network = build_timm(made).eval()
    with torch.inference_mode():
        assert network(torch.zeros(1, 1, 32, 48)).shape[2:] == (4, 6)


@pytest.mark.parametrize("name", ["levit_128s", "efficientvit_m0"])
def test_a_scan_of_which_one_cell_would_be_left_is_resized(architecture: Make, name: str) -> None:
    made = architecture(name=name, library="timm", size=(64, 64), width=1.0)
    with torch.inference_mode():
        assert build_timm(made).eval()(torch.zeros(1, 1, 64, 64)).shape[2:] == (2, 2)


def test_a_network_that_takes_any_size_gets_the_scan_as_it_is(architecture: Make) -> None:
    made = architecture(
        name="qwen3_vit_88m", library="timm", size=(64, 64), width=1.0, args={"depth": 1}
    )  # of 768 px itself
    with torch.inference_mode():
        assert build_timm(made).eval()(torch.zeros(1, 1, 64, 64)).shape[2:] == (4, 4)


def test_a_network_with_attention_biases_copies_and_follows_its_weights(architecture: Make) -> None:
    made = architecture(name="levit_128s", library="timm", size=(64, 64), width=1.0)
    network = build_timm(made).eval()
    scans = torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(1))
    before = network(scans)
    copied = copy.deepcopy(network)
    with torch.no_grad():
        for key, weights in copied.named_parameters():
            if key.endswith("attention_biases"):
                weights.copy_(torch.linspace(-9, 9, weights.numel()).reshape(weights.shape))
        torch.testing.assert_close(network(scans), before)
        assert (copied(scans) - before).abs().max() > 0.01 * before.abs().max()


def test_more_weights_than_memory_is_one_line(resnet: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=2**20))
    with pytest.raises(SettingsError, match=r"resnet18 has 11,170,240 weights, 0\.0 GiB; 0\.0 GiB .* free"):
        build_timm(resnet(width=1.0))

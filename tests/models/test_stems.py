"""The stem rule: cells enough on small scans, and weights that still fit."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import timm
import torch
from torch import nn

from scanlens.models.architecture import Architecture
from scanlens.models.registry import build
from scanlens.models.stems import say_what_is_left, shrink_stem, subsample_narrow

Make = Callable[..., Architecture]
FAMILIES = (
    "resnet18", "resnetv2_50", "densenet121", "vgg11_bn", "mobilenetv1_100", "mobilenetv2_100",
    "efficientnet_b0", "tf_efficientnet_b0", "legacy_xception", "inception_v3", "convnext_atto",
    "regnetx_002", "swin_tiny_patch4_window7_224", "vit_tiny_patch16_224",
)  # fmt: skip


def grid(architecture: Architecture) -> tuple[int, ...]:
    network = build(architecture).eval()
    with torch.inference_mode():
        return tuple(network.features(torch.zeros(1, architecture.channels, *architecture.size)).shape[2:])


@pytest.mark.parametrize("name", FAMILIES)
def test_small_scans_keep_cells(architecture: Make, name: str) -> None:
    made = {"name": name, "library": "timm", "width": 1.0}
    assert min(grid(architecture(**made, stem="small", size=(28, 28)))) >= 2
    assert min(grid(architecture(**made, stem="small", size=(64, 64)))) >= 7
    assert min(grid(architecture(**made, stem="medium", size=(112, 112)))) >= 6


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv2_100", "inception_v3", "convnext_atto"])
def test_the_standard_stem_is_left_alone(name: str) -> None:
    network = timm.create_model(name, num_classes=0, global_pool="", in_chans=1)
    before = str(network)
    shrink_stem(network, "standard", 1, (28, 28))
    assert str(network) == before


@pytest.mark.parametrize("stem", ["medium", "small"])
@pytest.mark.parametrize(
    "name", ["resnet18", "densenet121", "mobilenetv2_100", "inception_v3", "legacy_xception", "convnext_atto"]
)
def test_weights_from_elsewhere_fit(name: str, stem: str) -> None:
    own = timm.create_model(name, num_classes=0, global_pool="", in_chans=1)
    network = timm.create_model(name, num_classes=0, global_pool="", in_chans=1)
    shrink_stem(network, stem, 1, (64, 64))
    theirs, ours = own.state_dict(), network.state_dict()
    assert theirs.keys() == ours.keys()
    changed = [key for key, weights in theirs.items() if weights.shape != ours[key].shape]
    # Only a first kernel of 7 is another in the small stem.
    seven = name in ("resnet18", "densenet121") and stem == "small"
    assert len(changed) == seven


def test_the_second_halving_goes_first() -> None:
    network = nn.Sequential(
        *(nn.Conv2d(1 if n == 0 else 2, 2, 3, stride=2, padding=1) for n in range(5)), nn.ReLU()
    )
    shrink_stem(network, "medium", 1, (112, 112))
    assert [network[n].stride[0] for n in range(5)] == [2, 1, 2, 2, 2]
    shrink_stem(network, "small", 1, (64, 64))
    assert network(torch.zeros(1, 1, 64, 64)).shape[2:] == (8, 8)


def test_a_scan_too_small_for_the_rule_gets_one_more() -> None:
    network = nn.Sequential(
        *(nn.Conv2d(1 if n == 0 else 2, 2, 3, stride=2, padding=1) for n in range(5)), nn.ReLU()
    )
    shrink_stem(network, "medium", 1, (16, 16))
    assert network(torch.zeros(1, 1, 16, 16)).shape[2:] == (2, 2)


def test_a_stem_that_cannot_be_shrunk_says_so_once(
    architecture: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    say_what_is_left.cache_clear()
    made = architecture(name="visformer_tiny", library="timm", width=1.0, size=(64, 64))
    for _ in range(2):
        build(made)
    build(architecture(name="mobilenetv2_050", library="timm", width=1.0, size=(28, 28)))
    said = capsys.readouterr().err
    assert said.count("warning:") == 1
    assert "visformer_tiny leaves 2 x 2 cells of a scan of 64 x 64" in said


def test_what_the_stem_promises_is_no_warning(capsys: pytest.CaptureFixture[str]) -> None:
    say_what_is_left.cache_clear()
    say_what_is_left("net", "small", (64, 32), (4, 2))
    say_what_is_left("net", "standard", (64, 32), (1, 1))
    assert not capsys.readouterr().err
    say_what_is_left("net", "small", (65, 32), (4, 2))
    assert "net leaves 4 x 2 cells" in capsys.readouterr().err


def test_strided_pointwise_convolutions_of_few_channels_are_subsampled_and_stay_the_same_function() -> None:
    network = nn.Sequential(nn.Conv2d(3, 20, 1, 2), nn.Conv2d(20, 8, 1, (2, 1)), nn.Conv2d(8, 8, 3, 2, 1))
    scans = torch.randn(2, 3, 21, 18, generator=torch.Generator().manual_seed(1))
    strided = network(scans)
    subsample_narrow(network)
    # Only the first is one that oneDNN gets wrong.
    assert [convolution.stride for convolution in network] == [(1, 1), (2, 1), (2, 2)]  # type: ignore[union-attr]
    torch.testing.assert_close(network(scans), strided)


def test_no_network_keeps_one(architecture: Make) -> None:
    network = build(architecture(name="mobileone_s0", library="timm", width=1.0, channels=3, size=(64, 64)))
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    assert any(c.kernel_size == (1, 1) and c.in_channels == 3 for c in convolutions)
    assert not any(c.kernel_size == (1, 1) and c.in_channels < 16 and max(c.stride) > 1 for c in convolutions)

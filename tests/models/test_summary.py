"""Parameters against timm's published counts, FLOPs against a count by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from scanlens.models.architecture import Architecture
from scanlens.models.registry import build
from scanlens.models.summary import flops, summarise_network, summary_text

Make = Callable[..., Architecture]


def test_flops_of_a_small_network_by_hand() -> None:
    network = nn.Sequential(
        nn.Conv2d(2, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5),
    ).eval()  # fmt: skip
    first = 16 * 16 * 8 * (2 * 9)
    depthwise = 8 * 8 * 8 * 9
    assert flops(network, (1, 2, 16, 16)) == 2 * (first + depthwise + 8 * 5)
    assert flops(network, (3, 2, 16, 16)) == 3 * flops(network, (1, 2, 16, 16))


# timm's results tables, millions of parameters with 1000 classes and three channels.
@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("resnet18", 11.69),
        ("densenet121", 7.98),
        ("mobilenetv2_100", 3.50),
        ("efficientnet_b0", 5.29),
        ("inception_v3", 23.83),
        ("legacy_xception", 22.86),
        ("convnext_tiny", 28.59),
        ("vit_tiny_patch16_224", 5.72),
        ("swin_tiny_patch4_window7_224", 28.29),
    ],
)
def test_parameters_are_as_published(architecture: Make, name: str, millions: float) -> None:
    made = architecture(
        name=name, library="timm", stem="standard", width=1.0, channels=3, size=(224, 224), classes=1000
    )
    count = sum(weights.numel() for weights in build(made).parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.006)


def test_a_summary_says_all(architecture: Make) -> None:
    made = architecture(name="resnet18", library="timm", size=(32, 32))
    summary = summarise_network(made)
    with torch.inference_mode():
        maps = build(made).eval().features(torch.zeros(1, 1, 32, 32))
    assert (summary.features, *summary.grid) == tuple(maps.shape[1:])
    assert summary.parameters == sum(weights.numel() for weights in build(made).parameters())
    assert summary.layers[0].output == (1, 3)
    assert 1 < summary.effective_receptive_field < 32
    # The 3 x 3 stem at stride 1, then two blocks a stage.
    assert summary.receptive_field == 1 + 2 + 4 * 2 + (1 + 3 * 2) * 2 + (1 + 3 * 2) * 4 + (1 + 3 * 2) * 8
    text = summary_text(summary)
    assert f"{summary.flops:,}" in text
    assert "layer4" in text
    assert json.loads(json.dumps(summary.to_json()))["grid"] == [4, 4]


def test_depth_decides_which_layers_are_shown(architecture: Make) -> None:
    shown = [len(summarise_network(architecture(), depth).layers) for depth in (1, 2)]
    assert shown[0] < shown[1]


def test_volumes_have_their_twins_field(architecture: Make) -> None:
    image, volume = architecture(size=(16, 16)), architecture(size=(16, 16, 16))
    assert summarise_network(image).receptive_field == summarise_network(volume).receptive_field


def test_the_command(project: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "scanlens.cli", "model", *arguments]
        return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)

    done = run("resnet10t", "stem=small", "--size", "32", "28", "--channels", "2", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["architecture"]["size"] == [32, 28]
    assert found["architecture"]["stem"] == "small"
    assert found["architecture"]["channels"] == 2
    refused = run("cnn", "steem=small")
    assert refused.returncode == 1
    assert "Did you mean stem" in refused.stderr


@pytest.mark.parametrize("name", ["cait_xxs24_224", "levit_128s", "resmlp_12_224", "visformer_tiny"])
def test_networks_of_one_size_are_summarised(architecture: Make, name: str) -> None:
    made = architecture(name=name, library="timm", width=1.0, size=(64, 64))
    summary = summarise_network(made, depth=1)
    assert summary.receptive_field is None
    assert summary.flops > 1e8
    assert "no end found" in summary_text(summary)

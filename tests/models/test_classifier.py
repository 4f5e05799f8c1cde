"""The law the maps stand on: the mean of the local logits is the logit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from scanlens.config.schema import Model
from scanlens.models.classifier import Classifier
from scanlens.models.registry import build, resolve

CHOICES = sorted((Path(__file__).resolve().parents[2] / "conf" / "model").glob("*.yaml"))


def check_law(network: Classifier, scans: torch.Tensor) -> None:
    """Only rounding is forgiven."""
    network = network.eval()
    with torch.inference_mode():
        local = network.local_logits(scans)
        logits = network(scans)
    assert local.ndim == scans.ndim
    assert local.shape[:2] == logits.shape
    torch.testing.assert_close(local.flatten(2).mean(2), logits, rtol=1e-4, atol=1e-5)
    assert logits.std() > 0


@pytest.mark.parametrize("path", CHOICES, ids=lambda path: path.stem)
def test_mean_of_local_logits_is_forward_for_images(path: Path) -> None:
    chosen = Model(**yaml.safe_load(path.read_text(encoding="utf-8")))
    network = build(resolve(chosen, (1, 32, 40), 3))
    # Batch norm that has seen something, as after training.
    noise = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=noise)
            module.running_var.uniform_(0.5, 1.5, generator=noise)
    nn.init.normal_(network.head.bias, generator=noise)
    check_law(network, torch.randn(2, 1, 32, 40, generator=noise))


@pytest.mark.parametrize(("name", "width"), [("cnn", 0.5), ("resnet18", 0.25), ("densenet121", 1.0)])
def test_mean_of_local_logits_is_forward_for_volumes(name: str, width: float) -> None:
    chosen = Model(name, "auto", "auto", width, 0.1, {})
    network = build(resolve(chosen, (1, 32, 36, 32), 2))
    check_law(network, torch.randn(2, 1, 32, 36, 32, generator=torch.Generator().manual_seed(1)))


def test_dropout_acts_in_training_only() -> None:
    network = Classifier(nn.Identity(), 8, 2, 0.5)
    scans = torch.randn(4, 8, 3, 3)
    assert not torch.equal(network.train()(scans), network.train()(scans))
    assert torch.equal(network.eval()(scans), network.eval()(scans))


def test_local_logits_against_a_loop_over_places() -> None:
    network = Classifier(nn.Identity(), 5, 3, 0.0).eval()
    maps = torch.randn(2, 5, 4, 3, 2)
    with torch.inference_mode():
        local = network.local_logits(maps)
        expected = network.head.weight @ maps[1, :, 3, 0, 1] + network.head.bias
    torch.testing.assert_close(local[1, :, 3, 0, 1], expected)


def test_the_head_judges_in_float32_under_autocast() -> None:
    network = Classifier(nn.Conv2d(1, 4, 3), 4, 2, 0.0).eval()
    scans = torch.randn(2, 1, 9, 9)
    with torch.autocast("cpu", torch.bfloat16):
        assert network.features(scans).dtype == torch.bfloat16
        assert network(scans).dtype == torch.float32

"""Numbers are learnt standardised and given back in their unit."""

from __future__ import annotations

import numpy as np
import torch

from scanlens.models.classifier import Classifier
from scanlens.training.losses import NumberLoss


def _network(centre: float, spread: float) -> Classifier:
    torch.manual_seed(0)
    backbone = torch.nn.Conv2d(1, 4, 3)
    return Classifier(backbone, 4, 1, 0.0, head="regression", centre=centre, spread=spread).eval()


def test_centre_and_spread_move_and_stretch_the_output() -> None:
    scans = torch.randn(3, 1, 8, 8)
    plain, stretched = _network(0, 1)(scans), _network(120, 15)(scans)
    torch.testing.assert_close(stretched, plain * 15 + 120)


def test_the_mean_of_local_numbers_is_the_number() -> None:
    scans, network = torch.randn(3, 1, 8, 8), _network(120, 15)
    evidence = network.explain(scans)
    torch.testing.assert_close(evidence.logits, network(scans))
    torch.testing.assert_close(evidence.local.flatten(2).mean(2), evidence.logits)


def test_gradients_do_not_depend_on_the_unit() -> None:
    scans, targets = torch.randn(5, 1, 8, 8), torch.randn(5)
    gradients = []
    for centre, spread in ((0.0, 1.0), (120.0, 15.0)):
        network = _network(centre, spread)
        NumberLoss(spread)(network(scans), targets * spread + centre).backward()
        gradients.append(network.backbone.weight.grad.numpy())
    assert np.allclose(*gradients, rtol=1e-3, atol=1e-5)

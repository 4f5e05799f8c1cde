"""Sharing evidence out keeps its sum, follows the guide, and moves nothing far."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import nn

from scanlens.models.architecture import Architecture
from scanlens.models.classifier import Classifier
from scanlens.models.refine import CALM, FINER, REACH, Guide, along_axes, refine, window
from scanlens.models.registry import build

Make = Callable[..., Architecture]
GRIDS = [((7, 7), (7, 7)), ((7, 5), (14, 10)), ((8, 8), (17, 19)), ((3, 4, 2), (6, 8, 4)), ((1, 1), (2, 2))]


@pytest.mark.parametrize(("coarse", "fine"), GRIDS)
def test_sums_stay_what_they_were(coarse: tuple[int, ...], fine: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    contributions = torch.randn(2, 3, *coarse)
    shared = refine(contributions, torch.rand(2, 5, *fine), REACH)
    assert shared.shape == (2, 3, *fine)
    assert torch.allclose(shared.flatten(2).sum(2), contributions.flatten(2).sum(2), atol=1e-5)


@pytest.mark.parametrize(("coarse", "fine"), GRIDS[:4])
def test_it_is_the_loop_over_cells(coarse: tuple[int, ...], fine: tuple[int, ...]) -> None:
    """Every cell's evidence by hand: its window times the activity, made to sum to one."""
    torch.manual_seed(1)
    contributions, guide = torch.randn(1, 1, *coarse), torch.rand(1, 2, *fine)
    active = np.linalg.norm(guide[0].numpy(), axis=0)
    for axis, (n, m) in enumerate(zip(coarse, fine, strict=True)):
        piece = window(m, m, CALM * m / n, guide).double().numpy()
        active = np.moveaxis(np.tensordot(active, piece / piece.sum(0), (axis, 0)), -1, axis)
    expected = np.zeros(fine)
    for cell in np.ndindex(*coarse):
        share = active.copy()
        for axis, (n, m) in enumerate(zip(coarse, fine, strict=True)):
            gap = ((np.arange(m) + 0.5) * n / m - (cell[axis] + 0.5)) / REACH
            share = share * np.exp(-(gap**2) / 2).reshape([-1 if a == axis else 1 for a in range(len(fine))])
        expected += float(contributions[0, 0][cell]) * share / share.sum()
    assert np.allclose(refine(contributions, guide, REACH)[0, 0].numpy(), expected, atol=1e-4)


def test_evidence_beside_a_spot_goes_to_the_spot() -> None:
    contributions = torch.zeros(1, 1, 9, 9)
    contributions[0, 0, 4, 5] = 1.0
    guide = torch.full((1, 1, 18, 18), 0.001)
    guide[0, 0, 8, 8] = 1.0
    shared = refine(contributions, guide, REACH)[0, 0]
    row, column = divmod(int(shared.argmax()), 18)
    assert row == 8
    assert 8 <= column <= 9, "towards the spot, at most a cell from the evidence"
    guide = torch.full((1, 1, 18, 18), 0.01)
    guide[0, 0, 0, 0] = 1.0
    assert refine(contributions, guide, REACH)[0, 0, 0, 0] < 0.01, "a spot out of reach takes nothing"


def test_a_silent_guide_shares_out_evenly() -> None:
    contributions = torch.zeros(1, 1, 31, 31)
    contributions[0, 0, 15, 15] = 1.0
    shared = refine(contributions, torch.zeros(1, 4, 31, 31), REACH)[0, 0].numpy()
    assert np.allclose(shared, gaussian_filter(contributions[0, 0].numpy(), REACH, truncate=9), atol=1e-6)


def test_windows_multiply_each_axis() -> None:
    maps = torch.randn(1, 2, 3, 4, 5)
    matrices = [torch.randn(n, n + 1) for n in (3, 4, 5)]
    expected = torch.einsum("bcxyz,xi,yj,zk->bcijk", maps, *matrices)
    assert torch.allclose(along_axes(maps, matrices), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "library", "size", "guides"),
    [
        ("cnn", "scanlens", (64, 64), [("2", REACH), ("0", FINER)]),
        ("cnn", "scanlens", (128, 128), [("2", REACH), ("0", FINER)]),
        ("cnn", "scanlens", (24, 24), [("2", REACH)]),
        ("cnn", "scanlens", (28, 28, 28), [("2", REACH), ("0", FINER)]),
        ("resnet18", "timm", (64, 64), [("layer3", REACH), ("layer2", FINER)]),
        ("resnet10", "monai", (32, 32, 32), [("layers.2", REACH), ("layers.1", FINER)]),
        ("edges", "scanlens", (64, 64), []),
        ("vit_tiny_patch16_224", "timm", (224, 224), []),
        ("swin_tiny_patch4_window7_224", "timm", (224, 224), []),
    ],
)
def test_networks_know_their_guides(
    architecture: Make, name: str, library: str, size: tuple[int, ...], guides: list[tuple[str, float]]
) -> None:
    network = build(architecture(name=name, library=library, size=size, width=1.0)).eval()
    assert list(network.guides) == guides
    scans = torch.randn(2, 1, *size)
    with torch.inference_mode():
        evidence = network.explain(scans)
        assert torch.allclose(evidence.logits, network.logits(scans), atol=1e-5)
    assert torch.allclose(evidence.local.flatten(2).mean(2), evidence.logits, atol=1e-4)
    finer = zip(evidence.local.shape[2:], evidence.cams.shape[2:], strict=True)
    assert all(a >= b for a, b in finer)
    assert all(not module._forward_hooks for module in network.modules()) or name.startswith(("vit", "swin"))


def test_evidence_walks_back_from_guide_to_guide() -> None:
    """By the guides' own features, one after the other, as refine does for each."""
    torch.manual_seed(2)
    layers = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.AvgPool2d(2), nn.Conv2d(3, 5, 3, padding=1))
    guides = (Guide("1", 2.0), Guide("0", 0.5))
    network = Classifier(layers, 5, 2, 0.0, guides=guides).eval()
    scans = torch.randn(2, 1, 12, 10)
    with torch.inference_mode():
        fine = layers[0](scans)
        coarse = layers[1](fine)
        contributions, rest, _ = network.evidence(layers[2](coarse))
        expected = refine(refine(contributions, coarse, 2.0), fine, 0.5) * 120
        torch.testing.assert_close(network.explain(scans).local, expected + rest[:, :, None, None])

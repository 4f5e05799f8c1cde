"""A network that looks aside is found out, by how far, and its maps lie where the evidence is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import shift
from torch import Tensor, nn

from scanlens.models.classifier import Classifier
from scanlens.models.displacement import LEAST_SCANS, PASSES, SCANS, measure_displacement, scans_to_see
from scanlens.models.refine import Guide, move

SIDE = 32


def looking_aside(*steps: int, classes: int = 1) -> Classifier:
    """A network whose every cell sees the one that lies ``steps`` cells further along each axis.

    The first layer keeps the scan's pixels and is the guide; the second sees every second cell of it.
    """
    dims = len(steps)
    convolution = nn.Conv2d if dims == 2 else nn.Conv3d
    pool = nn.AvgPool2d if dims == 2 else nn.AvgPool3d
    first, second = convolution(1, 1, 1), convolution(1, classes, 9, padding=4, bias=False)
    for layer, tap in ((first, [0] * dims), (second, [4 + step for step in steps])):
        nn.init.zeros_(layer.weight)
        with torch.no_grad():
            layer.weight[(slice(None), 0, *tap)] = 1.0
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    backbone = nn.Sequential(first, nn.Sequential(pool(2), second))
    network = Classifier(backbone, classes, classes, 0.0, head="linear", guides=(Guide("0", 0.5),), dims=dims)
    nn.init.eye_(network.head.weight)
    nn.init.zeros_(network.head.bias)
    return network.eval()


def spots(dims: int, scans: int = 12) -> tuple[Tensor, list[tuple[int, ...]]]:
    """Scans of one bright spot of two pixels a side away from the border, and where it begins."""
    random = np.random.default_rng(0)
    stack = torch.zeros(scans, 1, *[SIDE] * dims)
    begins = [tuple(int(2 * n) for n in random.integers(5, 11, dims)) for _ in range(scans)]
    for scan, begin in zip(stack, begins, strict=True):
        scan[(0, *(slice(at, at + 2) for at in begin))] = 1.0
    return stack, begins


@pytest.mark.parametrize("steps", [(0, 0), (3, 0), (-2, 4), (1, -3, 2)])
def test_what_is_built_in_is_measured_and_undone(steps: tuple[int, ...]) -> None:
    network = looking_aside(*steps)
    scans, begins = spots(len(steps))
    before = [part.clone() for part in network.state_dict().values()]
    found = measure_displacement(network, scans.split(5))
    assert found.shape == (1, len(steps))
    # A cell of the last grid stands for two of the 32 pixels.
    assert torch.allclose(found[0], torch.tensor(steps) * 2 / SIDE, atol=1e-5)
    assert all(torch.equal(a, b) for a, b in zip(before, network.state_dict().values(), strict=True))
    network.displacement.copy_(found)
    with torch.inference_mode():
        maps = network.explain(scans).local[:, 0]
    for one, begin in zip(maps, begins, strict=True):
        peak = np.unravel_index(int(one.argmax()), one.shape)
        assert all(at <= p < at + 2 for at, p in zip(begin, peak, strict=True))


def test_each_class_has_its_own() -> None:
    network = looking_aside(0, 0, classes=2)
    convolution = network.backbone[1][1]
    with torch.no_grad():
        convolution.weight[1].zero_()
        convolution.weight[1, 0, 6, 4] = 1.0
    found = measure_displacement(network, [spots(2)[0]])
    assert torch.allclose(found, torch.tensor([[0.0, 0.0], [2 * 2 / SIDE, 0.0]]), atol=1e-5)


def test_a_scan_that_says_nothing_moves_nothing() -> None:
    assert measure_displacement(looking_aside(3, 1), [torch.zeros(4, 1, SIDE, SIDE)]).abs().max() == 0


def test_the_strongest_scans_speak() -> None:
    """Faint spots seen from elsewhere do not count."""
    network = looking_aside(3, 0, classes=1)
    scans, _ = spots(2, 16)
    faint = torch.zeros(40, 1, SIDE, SIDE)
    # At the border, where the cell that would see it does not exist.
    faint[:, 0, :2] = 0.1
    alone = measure_displacement(network, [scans])
    assert torch.equal(measure_displacement(network, [scans, faint]), alone)


@pytest.mark.parametrize("grid", [(7, 9), (5, 6, 4), (1, 3)])
def test_moving_is_scipys_shift_and_keeps_the_sum(grid: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    maps = torch.randn(2, 3, *grid)
    steps = torch.tensor([[0.1, -0.2, 0.15], [0.0, 0.0, 0.0], [-0.33, 0.4, -1.5]])[:, : len(grid)]
    moved = move(maps, steps)
    assert moved.shape == maps.shape
    assert torch.allclose(moved.flatten(2).sum(2), maps.flatten(2).sum(2), atol=1e-5)
    assert torch.equal(moved[:, 1], maps[:, 1])
    inside = torch.zeros(1, 1, *(side + 8 for side in grid))
    inside[(0, 0, *(slice(4, -4) for _ in grid))] = maps[0, 0]
    share = torch.tensor([0.9, -1.3, 2.4])[: len(grid)]
    expected = shift(inside[0, 0].double().numpy(), share.tolist(), order=1)
    result = move(inside, (share / torch.tensor(inside.shape[2:]))[None])
    assert np.allclose(result[0, 0].numpy(), expected, atol=1e-5)


@pytest.mark.parametrize(("outputs", "scans"), [(1, SCANS), (4, PASSES // 4), (8, 48), (100, LEAST_SCANS)])
def test_many_outputs_ask_for_fewer_scans(outputs: int, scans: int) -> None:
    assert scans_to_see(outputs) == scans

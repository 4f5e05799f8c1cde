"""The baselines see what they say they see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage

from scanlens.errors import SettingsError
from scanlens.models.architecture import Architecture
from scanlens.models.baselines import EdgeFeatures, build_edges, compass_kernels
from scanlens.models.registry import build

Make = Callable[..., Architecture]
NORTH = np.array([[5, 5, 5], [-3, 0, -3], [-3, -3, -3]]) / 15


def expected_sums(scan: np.ndarray, patch: int) -> np.ndarray:
    """Kirsch's kernels by ndimage, a slice and a patch at a time: ``(8, *patches)``."""
    slices = scan if scan.ndim == 3 else scan[np.newaxis]
    results = []
    for kernel in compass_kernels().numpy():
        edges = np.stack([ndimage.correlate(one, kernel, mode="nearest") for one in slices]).clip(0)
        edges = edges if scan.ndim == 3 else edges[0]
        grid = tuple(-(-side // patch) for side in scan.shape)
        sums = np.zeros(grid)
        for cell in np.ndindex(grid):
            sums[cell] = edges[tuple(slice(i * patch, (i + 1) * patch) for i in cell)].sum()
        results.append(sums)
    return np.stack(results)


@pytest.mark.parametrize(("size", "patch"), [((16, 24), 8), ((19, 13), 4), ((6, 9, 11), 4), ((5, 5), 1)])
def test_edge_sums_equal_scipy(size: tuple[int, ...], patch: int) -> None:
    scans = np.random.default_rng(0).normal(size=(2, 3, *size)).astype(np.float32)
    ours = EdgeFeatures(len(size), 3, patch).sums(torch.from_numpy(scans)).numpy()
    for row in range(2):
        for channel in range(3):
            theirs = expected_sums(scans[row, channel], patch)
            np.testing.assert_allclose(ours[row, 8 * channel : 8 * channel + 8], theirs, rtol=1e-4, atol=1e-4)


def test_the_kernels_are_kirschs_compass() -> None:
    kernels = compass_kernels().numpy()
    np.testing.assert_allclose(kernels[0], NORTH, atol=1e-7)
    # Two steps of 45 degrees are a quarter turn clockwise.
    for turn in range(8):
        np.testing.assert_allclose(kernels[(turn + 2) % 8], np.rot90(kernels[turn], -1), atol=1e-7)
    np.testing.assert_allclose(kernels[1], np.array([[-3, 5, 5], [-3, 0, 5], [-3, -3, -3]]) / 15, atol=1e-7)
    assert len(np.unique(kernels.reshape(8, -1), axis=0)) == 8


def test_a_flat_scan_has_no_edges_and_a_step_has_its_height() -> None:
    features = EdgeFeatures(2, 1, 1)
    assert features.sums(torch.full((1, 1, 9, 9), 3.0)).abs().max() < 1e-5
    step = torch.zeros(1, 1, 9, 9)
    step[..., :4, :] = 2.0
    assert features.sums(step)[0, 0, 4, 4] == pytest.approx(2.0)


@pytest.mark.parametrize("size", [(20, 16), (9, 10, 8)])
def test_nothing_in_the_edge_features_is_learnt(architecture: Make, size: tuple[int, ...]) -> None:
    made = architecture(name="edges", size=size, width=1.0, pooling="flatten", args={"patch": 4}, channels=2)
    network = build(made)
    assert not list(network.backbone.parameters())
    before = network.backbone.kernels.clone()
    scans = torch.randn(8, 2, *size)
    maps = network.features(scans)
    # One scale for all directions.
    torch.testing.assert_close(maps.transpose(0, 1).flatten(1).std(1), torch.ones(16), rtol=0.05, atol=0.05)
    network(scans).sum().backward()
    assert network.head.weight.grad is not None
    assert network.head.weight.grad.abs().sum() > 0
    assert torch.equal(network.backbone.kernels, before)


def test_the_patch_decides_the_cells(architecture: Make) -> None:
    made = {"name": "edges", "width": 1.0}
    for patch, grid in ((4, (4, 3)), (5, (4, 3)), (16, (1, 1))):
        features = build_edges(architecture(**made, args={"patch": patch})).eval()
        assert features(torch.zeros(1, 1, 16, 12)).shape[2:] == grid
    assert build_edges(architecture(**made)).patch == 8


def test_the_dense_network_is_a_perceptron_on_the_pixels(architecture: Make) -> None:
    network = build(
        architecture(name="dense", width=1.0, pooling="flatten", hidden=(7,), activation="tanh"), 4
    ).eval()
    scans = torch.randn(3, 1, 16, 12)
    hidden = torch.tanh(scans.flatten(1) @ network.hidden[0].weight.T + network.hidden[0].bias)
    with torch.inference_mode():
        torch.testing.assert_close(network(scans), hidden @ network.head.weight.T + network.head.bias)
        assert network.explain(scans).local.shape == (3, 3, 16, 12)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("dense", {"args": {"depth": 2}}, r"model\.args do not fit dense: depth\. It takes none"),
        ("edges", {"args": {"patches": 2}}, r"do not fit edges: patches\. It takes patch"),
        ("edges", {"args": {"patch": 0}}, r"model\.args\.patch is 0; expected a whole number"),
        ("edges", {"args": {"patch": "8"}}, r"model\.args\.patch is '8'"),
        ("edges", {"args": {"patch": 17}}, r"longest side"),
        ("edges", {"width": 2.0}, r"model\.width=2\.0 does not fit edges"),
    ],
    ids=str,
)
def test_other_arguments_are_refused(
    architecture: Make, name: str, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        build(architecture(**{"name": name, "width": 1.0, **changes}))

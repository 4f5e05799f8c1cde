from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from scanlens.errors import ScanlensError
from scanlens.maps.probability import evidence_maps, grad_cam, log_odds, probability_maps, upsample
from scanlens.models.classifier import Classifier


def tiny_network(dims: int) -> Classifier:
    convolution = torch.nn.Conv2d if dims == 2 else torch.nn.Conv3d
    torch.manual_seed(0)
    backbone = torch.nn.Sequential(
        convolution(1, 6, 3, stride=2), torch.nn.ReLU(), convolution(6, 5, 3, stride=2)
    )
    return Classifier(backbone, 5, 4, dropout=0.5).eval()


@pytest.mark.parametrize("spatial", [(33, 40), (17, 20, 23)])
def test_the_mean_of_the_local_logits_is_the_logit(spatial: tuple[int, ...]) -> None:
    network = tiny_network(len(spatial))
    scans = torch.randn(3, 1, *spatial)
    with torch.no_grad():
        local, logits = network.explain(scans).local.numpy(), network(scans).numpy()
    np.testing.assert_allclose(local.reshape(3, 4, -1).mean(-1), logits, atol=1e-6)


def test_a_map_is_the_softmax_at_every_cell() -> None:
    local = np.random.default_rng(0).normal(0, 5, (2, 3, 4, 5)).astype(np.float32)
    expected = torch.softmax(torch.from_numpy(local) / 1.7, dim=1).numpy()
    maps = probability_maps(local, 1.7)
    np.testing.assert_allclose(maps, expected, atol=1e-6)
    assert maps.dtype == np.float32
    assert not np.allclose(maps, probability_maps(local, 1.0))


def test_a_scan_that_looks_the_same_everywhere_has_its_own_probability_everywhere() -> None:
    logits = np.array([[2.0, -1.0, 0.5]], np.float32)
    local = np.broadcast_to(logits[:, :, None, None], (1, 3, 7, 7))
    expected = torch.softmax(torch.from_numpy(logits) / 2, dim=1).numpy()
    np.testing.assert_allclose(probability_maps(local, 2.0)[:, :, 3, 3], expected, atol=1e-6)


def test_maps_do_not_depend_on_the_rest_of_the_batch() -> None:
    local = np.random.default_rng(0).normal(size=(3, 2, 4, 4))
    np.testing.assert_array_equal(probability_maps(local)[1:2], probability_maps(local[1:2]))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_logits_that_are_not_finite_are_refused(bad: float) -> None:
    local = np.zeros((1, 2, 3, 3))
    local[0, 1, 1, 1] = bad
    with pytest.raises(ScanlensError, match="not finite"):
        probability_maps(local)


@pytest.mark.parametrize("temperature", [0.0, -1.0, np.nan])
def test_an_impossible_temperature_is_refused(temperature: float) -> None:
    with pytest.raises(ValueError, match="temperature"):
        probability_maps(np.zeros((1, 2, 3, 3)), temperature)


def test_logits_without_places_are_refused() -> None:
    with pytest.raises(ValueError, match="grid"):
        probability_maps(np.zeros((4, 2)))


CASES = [
    ((3, 5), (12, 10)),
    ((7, 7), (224, 224)),
    ((1, 1), (5, 4)),
    ((8, 6), (5, 3)),
    ((2, 3, 4), (9, 6, 16)),
]


@pytest.mark.parametrize(("grid", "size"), CASES)
def test_upsample_equals_torch_and_scipy(grid: tuple[int, ...], size: tuple[int, ...]) -> None:
    maps = np.random.default_rng(1).random((2, 3, *grid), dtype=np.float32)
    ours = upsample(maps, size)
    mode = "bilinear" if len(size) == 2 else "trilinear"
    theirs = torch.nn.functional.interpolate(torch.from_numpy(maps), size, mode=mode, align_corners=False)
    np.testing.assert_allclose(ours, theirs.numpy(), atol=2e-6)
    factors = [wanted / given for wanted, given in zip(size, grid, strict=True)]
    zoomed = ndimage.zoom(maps[0, 0], factors, order=1, mode="nearest", grid_mode=True)
    np.testing.assert_allclose(ours[0, 0], zoomed, atol=2e-6)


def test_upsample_invents_nothing() -> None:
    maps = np.random.default_rng(2).random((4, 7, 7), dtype=np.float32)
    large = upsample(maps, (100, 90))
    assert large.min() >= maps.min() - 1e-6
    assert large.max() <= maps.max() + 1e-6


def test_upsample_refuses_more_axes_than_there_are() -> None:
    with pytest.raises(ValueError, match="at least 3"):
        upsample(np.zeros((4, 4)), (8, 8, 8))


def test_grad_cam_is_the_positive_part_and_not_rescaled() -> None:
    signed = np.array([[[[0.125, -0.5], [0.625, 0.0]]]])
    cams = grad_cam(signed)
    np.testing.assert_array_equal(cams, [[[[0.125, 0], [0.625, 0]]]])
    assert cams.dtype == np.float32


def test_log_odds_order_as_probabilities_and_beyond() -> None:
    local = np.random.default_rng(0).normal(size=(2, 3, 4, 5)) * 3
    probabilities = probability_maps(local, 1.5).astype(np.float64)
    expected = np.log(probabilities) - np.log1p(-probabilities)
    assert np.allclose(log_odds(local, 1.5), expected, atol=1e-3)
    sure = np.zeros((1, 2, 1, 2))
    sure[0, 0] = 200, 300
    assert (probability_maps(sure)[0, 0] == 1).all()
    assert log_odds(sure)[0, 0].tolist() == [[200, 300]]


def test_evidence_is_what_places_add_to_the_logit() -> None:
    generator = np.random.default_rng(1)
    added, rest = generator.normal(size=(2, 3, 6, 6)), generator.normal(size=(2, 3))
    evidence = evidence_maps(added * 36 + rest[:, :, None, None], rest)
    assert np.allclose(evidence, np.maximum(added, 0), atol=1e-5)

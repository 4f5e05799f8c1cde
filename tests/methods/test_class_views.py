"""Maps of one scan by every method that gives them: shapes, units, classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import softmax

from scanlens.errors import SettingsError
from scanlens.methods.class_views import class_view
from scanlens.methods.views import METHODS, Options
from scanlens.models.ensemble import Ensemble
from tests.helpers.networks import SIZES, noise, small_network

QUICK = Options(samples=2, steps=16)
OF_CLASSES = [name for name, method in METHODS.items() if method.kind == "class"]


def look(method: str, network, scan, classes=(0, 1, 2), options: Options = QUICK):
    return class_view(method, network, scan, classes, options, 1.7, progress=False)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("method", OF_CLASSES)
def test_one_class_is_what_it_is_among_all(method: str, dims: int) -> None:
    network, scan = small_network(dims), noise(1, 1, SIZES[dims], 3)[0]
    every, two = look(method, network, scan), look(method, network, scan, (2, 0))
    assert every.values.dtype == np.float32
    assert every.values.shape[0] == 3
    assert every.values.ndim == 1 + dims
    np.testing.assert_allclose(two.values, every.values[[2, 0]], atol=1e-6)
    assert every.unit == METHODS[method].unit
    if method in ("occlusion", "integrated_gradients", "smoothgrad"):
        assert every.values.shape[1:] == SIZES[dims]
        assert every.values.min() < 0 < every.values.max()
    else:
        assert every.values.min() >= 0


def test_probabilities_are_calibrated() -> None:
    network, scan = small_network(), noise(1, 1, SIZES[2], 3)[0]
    with torch.no_grad():
        local = network.explain(scan[None]).local[0].numpy()
    np.testing.assert_allclose(look("probability", network, scan).values, softmax(local / 1.7, 0), atol=1e-6)
    numbers = class_view("probability", network, scan, [1], QUICK, 1.7, "age")
    np.testing.assert_array_equal(numbers.values, local[[1]])
    assert numbers.unit == "age"
    assert class_view("smoothgrad", network, scan, [1], QUICK, 1.7, "age").unit == "age/SD"


@pytest.mark.parametrize("method", OF_CLASSES)
def test_an_ensemble_is_looked_at_as_a_whole(method: str) -> None:
    first, second = small_network(), small_network(seed=1)
    scan = noise(1, 1, SIZES[2], 3)[0]
    both = look(method, Ensemble([first, second]).eval(), scan)
    assert both.values.shape == look(method, first, scan).values.shape
    if method in ("occlusion", "integrated_gradients", "smoothgrad"):
        mean = (look(method, first, scan).values + look(method, second, scan).values) / 2
        np.testing.assert_allclose(both.values, mean, atol=1e-4)


@pytest.mark.parametrize("method", OF_CLASSES)
def test_the_dense_baseline_has_attributions_and_no_cams(method: str) -> None:
    network = small_network(name="dense", width=1.0, pooling="flatten", hidden=(6,))
    scan = noise(1, 1, SIZES[2], 3)[0]
    if method in ("grad_cam", "hires_cam", "grad_cam_plus_plus", "layer_cam"):
        with pytest.raises(SettingsError, match="occlusion"):
            look(method, network, scan)
    else:
        assert np.isfinite(look(method, network, scan).values).all()


def test_integrated_gradients_that_miss_say_so() -> None:
    network, scan = small_network(), noise(1, 1, SIZES[2], 3)[0]
    few = look("integrated_gradients", network, scan, options=Options(steps=1))
    assert "more --steps" in few.notes[0]
    many = look("integrated_gradients", network, scan, options=Options(steps=256))
    assert many.notes == ()
    assert many.facts["steps"] == 256
    np.testing.assert_allclose(many.facts["sum"], many.values.sum((1, 2)), rtol=1e-3)


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("occlusion", [{"patch": (8,)}, {"stride": (1,)}, {"baseline": "blur"}]),
        ("integrated_gradients", [{"steps": 3}, {"baseline": "blur"}]),
        ("smoothgrad", [{"samples": 3}, {"noise": 0.3}, {"seed": 1}]),
        ("grad_cam", [{"layer": "0.layers.2"}]),
    ],
)
def test_every_option_changes_the_map(method: str, changes: list[dict]) -> None:
    network, scan = small_network(size=(32, 32)), noise(1, 1, (32, 32), 3)[0]
    usual = look(method, network, scan, options=Options(samples=2)).values
    for change in changes:
        other = look(method, network, scan, options=Options(**{"samples": 2, **change})).values
        assert usual.shape != other.shape or not np.allclose(usual, other, atol=1e-5)

from __future__ import annotations

import numpy as np
import pytest
import torch

from scanlens.errors import ScanlensError
from scanlens.map_scores.kinds import MapKinds, of_class
from scanlens.maps.probability import evidence_maps, grad_cam, log_odds, probability_maps
from tests.helpers.planted import Planted, bright_network


def test_every_kind_of_map(planted: Planted) -> None:
    network, batch = bright_network(), next(planted.sample().batches())
    given = np.random.default_rng(0).random((16, 2, 4, 4))
    kinds = MapKinds(2.0, {"gradient": _gradient, "given": given})
    assert kinds.computed == ["probability_map", "evidence_map", "grad_cam", "gradient"]
    assert MapKinds(2.0, linear=False).computed == ["probability_map", "grad_cam"]
    assert kinds.names == [*kinds.computed, "given"]
    maps = kinds.compute(network, batch.inputs)
    with torch.no_grad():
        evidence = network.explain(batch.inputs)
    np.testing.assert_array_equal(maps["probability_map"], probability_maps(evidence.local.numpy(), 2.0))
    np.testing.assert_array_equal(maps["grad_cam"], grad_cam(evidence.cams.numpy()))
    local, rest = evidence.local.numpy(), evidence.rest.numpy()
    np.testing.assert_array_equal(maps["evidence_map"], evidence_maps(local, rest))
    orders = kinds.ordered(network, batch.inputs)[1]
    assert list(orders) == ["probability_map"], "the other kinds rank their indices themselves"
    np.testing.assert_array_equal(orders["probability_map"], log_odds(local, 2.0))
    assert maps["gradient"].shape == (5, 2, 32, 32)
    np.testing.assert_array_equal(kinds.given(np.array([3, 1]))["given"], given[[3, 1]])


def _gradient(network: torch.nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """A method that needs gradients."""
    with torch.enable_grad():
        leaf = inputs.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(network.logits(leaf)[:, 1].sum(), leaf)
    return gradient.abs().expand(-1, 2, -1, -1)


def test_the_map_of_each_scans_class() -> None:
    maps = np.arange(12.0).reshape(3, 2, 2)
    np.testing.assert_array_equal(of_class({"a": maps}, np.array([1, 0, 1]))["a"], [[2, 3], [4, 5], [10, 11]])


def test_maps_that_are_not_finite_are_refused(planted: Planted) -> None:
    kinds = MapKinds(1.0, {"broken": lambda network, inputs: inputs[:, :1].expand(-1, 2, -1, -1) * torch.nan})
    with pytest.raises(ScanlensError, match="kind broken"):
        kinds.compute(bright_network(), next(planted.sample().batches()).inputs)

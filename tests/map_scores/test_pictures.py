from __future__ import annotations

import numpy as np

from scanlens.map_scores.controls import edge_map
from scanlens.map_scores.kinds import MapKinds
from scanlens.map_scores.pictures import Pictures, compared, draw
from scanlens.maps.probability import upsample
from tests.helpers.planted import Planted, bright_network


def test_maps_and_controls_at_the_scans_size(planted: Planted) -> None:
    sample = planted.sample()
    maps = np.random.default_rng(0).random((16, 4, 4)).astype(np.float32)
    pictures = Pictures(sample, {"map": maps})
    assert pictures.names == ["map", "random", "edges"]
    np.testing.assert_array_equal(pictures.at("map", 3), upsample(maps[3], (32, 32)))
    np.testing.assert_array_equal(pictures.at("edges", 3), edge_map(sample.scan(3)))
    np.testing.assert_array_equal(pictures.at("random", 3), pictures.at("random", 3))
    assert (pictures.at("random", 3) != pictures.at("random", 4)).any()
    assert pictures.ordered("random", np.array([3, 4])).shape == (2, 32, 32)
    assert pictures.coarse("map", np.array([3, 4])).shape == (2, 32, 32)


def test_a_map_may_be_ranked_by_something_else(planted: Planted) -> None:
    orders = np.random.default_rng(0).random((16, 4, 4)).astype(np.float32)
    pictures = Pictures(planted.sample(), {"sure": np.ones((16, 4, 4))}, {"sure": orders})
    assert (pictures.at("sure", 3) == 1).all()
    np.testing.assert_array_equal(pictures.order("sure", 3), upsample(orders[3], (32, 32)))
    np.testing.assert_array_equal(pictures.ordered("sure", np.array([3]))[0], pictures.order("sure", 3))
    assert pictures.order("edges", 3) is None
    np.testing.assert_array_equal(pictures.ordered("edges", np.array([3]))[0], pictures.at("edges", 3))


def test_large_maps_are_compared_smaller_in_proportion() -> None:
    maps = np.random.default_rng(0).random((2, 4, 4))
    assert compared(maps, (256, 128)).shape == (2, 64, 32)
    assert compared(np.ones((1, 2, 2, 2)), (4, 256, 256)).shape == (1, 3, 64, 64)


def test_each_scan_has_the_map_of_its_class(planted: Planted) -> None:
    network, sample = bright_network(), planted.sample()
    given = np.random.default_rng(0).random((20, 2, 4, 4))
    positions, other = np.arange(16) + 4, 1 - sample.targets
    kinds = MapKinds(1.0, {"given": given})
    of_label, of_other = draw(network, sample, kinds, positions, (sample.targets, other))
    both = of_label.maps["probability_map"] + of_other.maps["probability_map"]
    np.testing.assert_allclose(both, 1, rtol=1e-6)
    np.testing.assert_array_equal(of_label.maps["given"], given[positions, sample.targets])
    mask = sample.mask(1)
    assert mask is not None
    assert mask.flat[of_label.at("probability_map", 1).argmax()]

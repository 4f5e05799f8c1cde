"""Making scans and keeping the generator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from scanlens.errors import SettingsError
from scanlens.synthesis.make import load_generator, make_from_seeds, make_scans, save_generator
from scanlens.synthesis.networks import Generator


@pytest.fixture
def generator() -> Generator:
    torch.manual_seed(0)
    network = Generator(2, 1, side=8, classes=2, latent=4, width=4).eval()
    torch.nn.init.normal_(network.draw.weight)
    return network


def test_counts_shapes_and_seeds(generator: Generator) -> None:
    made = list(make_scans(generator, {0: 20, 1: 3}, (11, 13), 5))
    images = np.concatenate([few.images for few in made])
    assert images.shape == (23, 1, 11, 13)
    assert images.dtype == np.float32
    assert 0 <= images.min() <= images.max() <= 1
    assert np.concatenate([few.targets for few in made]).tolist() == [0] * 20 + [1] * 3
    seeds = np.concatenate([few.seeds for few in made])
    assert len(set(seeds.tolist())) == 23
    alone = make_from_seeds(generator, np.array([1]), seeds[-1:], (11, 13))
    np.testing.assert_allclose(alone[0], images[-1], atol=1e-6)


def test_saved_generator_is_the_same(generator: Generator, tmp_path: Path) -> None:
    save_generator(generator, tmp_path / "generator.safetensors")
    loaded = load_generator(tmp_path / "generator.safetensors")
    first, second = (
        make_from_seeds(network, np.array([0, 1]), np.array([3, 4]), (8, 8))
        for network in (generator, loaded)
    )
    assert np.array_equal(first, second)


def test_refuses_what_is_no_generator(tmp_path: Path) -> None:
    path = tmp_path / "generator.safetensors"
    with pytest.raises(SettingsError, match=r"generator\.safetensors"):
        load_generator(path)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(SettingsError, match=r"generator\.safetensors"):
        load_generator(path)

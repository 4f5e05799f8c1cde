"""The networks: shapes, ranges, and that every input has a say."""

from __future__ import annotations

import pytest
import torch

from scanlens.synthesis.networks import Discriminator, Generator, level_widths, working_side


@pytest.mark.parametrize(
    ("shape", "most", "side"),
    [((28, 28), 64, 32), ((128, 96), 64, 64), ((64, 64), 64, 64), ((128, 128), 48, 32), ((5, 5), 64, 8)],
)
def test_working_side(shape: tuple[int, ...], most: int, side: int) -> None:
    assert working_side(shape, most) == side


def test_level_widths() -> None:
    assert level_widths(8, 16) == [32, 16]
    assert level_widths(64, 16) == [64, 64, 64, 32, 16]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dims", [2, 3])
def test_shapes_and_dependence(dims: int, channels: int) -> None:
    torch.manual_seed(0)
    generator = Generator(dims, channels, side=16, classes=3, latent=5, width=4).eval()
    torch.nn.init.normal_(generator.draw.weight)
    latent, labels = torch.randn(4, 5), torch.tensor([0, 0, 1, 2])
    latent[2] = latent[0]
    made = generator(latent, labels)
    assert made.shape == (4, channels, *[16] * dims)
    assert 0 <= made.min() < made.max() <= 1
    assert not torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])
    discriminator = Discriminator(dims, channels, side=16, classes=3, width=4).eval()
    scores = discriminator(made, labels)
    assert scores.shape == (4,)
    assert not torch.equal(scores, discriminator(made, labels.flip(0)))


def test_untrained_generator_gives_the_sketch() -> None:
    generator = Generator(2, 1, side=16, classes=2, latent=5, width=4)
    latent, labels = torch.randn(3, 5), torch.tensor([0, 1, 1])
    torch.testing.assert_close(generator(latent, labels), generator.sketch(latent, labels))


def test_discriminator_is_spectrally_normalised() -> None:
    discriminator = Discriminator(2, 1, side=16, classes=2, width=4)
    scans = torch.rand(2, 1, 16, 16)
    for _ in range(30):
        discriminator(scans, torch.tensor([0, 1]))
    discriminator.eval()
    for layer in [*discriminator.convolutions, discriminator.judge, discriminator.embedding]:
        norm = torch.linalg.matrix_norm(layer.weight.flatten(1), ord=2)
        assert abs(norm.item() - 1) < 0.02

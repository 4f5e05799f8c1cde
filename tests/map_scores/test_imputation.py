from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from scanlens.map_scores.imputation import impute


def scans(dims: int = 2, channels: int = 2) -> torch.Tensor:
    size = (21, 26) if dims == 2 else (9, 12, 10)
    noise = np.random.default_rng(0).normal(0, 1, (3, channels, *size))
    return torch.from_numpy(gaussian_filter(noise, (0, 0, *[1] * dims)).astype(np.float32) * 4)


def gaps(like: torch.Tensor, share: float, smooth: float = 2) -> torch.Tensor:
    values = np.random.default_rng(1).random((len(like), *like.shape[2:]))
    values = gaussian_filter(values, (0, *[smooth] * (values.ndim - 1)))
    return torch.from_numpy(
        values < np.quantile(values, share, axis=tuple(range(1, values.ndim)), keepdims=True)
    )


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("smooth", [0, 2])
def test_it_equals_quantus(share: float, smooth: float, quantus_library: ModuleType) -> None:
    """Its direct sparse solver, without noise."""
    from quantus.functions.perturb_func import noisy_linear_imputation

    images = scans()
    missing = gaps(images, share, smooth)
    ours = impute(images, missing, residual=1e-6).numpy()
    for image, gap, filled in zip(images.numpy(), missing.numpy(), ours, strict=True):
        theirs = noisy_linear_imputation(image, np.flatnonzero(gap), noise=0.0)
        np.testing.assert_allclose(filled, theirs, atol=2e-3)


@pytest.mark.parametrize("dims", [2, 3])
def test_every_gap_is_the_weighted_mean_of_its_neighbours(dims: int) -> None:
    images = scans(dims, channels=1)
    missing = gaps(images, 0.5)
    filled = impute(images, missing, residual=1e-6)[:, 0].double()
    np.testing.assert_array_equal(filled[~missing], images[:, 0][~missing].double())
    kernel = torch.ones([3] * dims, dtype=torch.float64)
    for axis in range(dims):
        kernel = kernel * torch.tensor([1.0, 2.0, 1.0]).reshape(
            [-1 if at == axis else 1 for at in range(dims)]
        )
    kernel[(1,) * dims] = 0
    convolve = torch.nn.functional.conv2d if dims == 2 else torch.nn.functional.conv3d
    total = convolve(filled[:, None], kernel[None, None], padding=1)
    weight = convolve(torch.ones_like(filled[:, None]), kernel[None, None], padding=1)
    assert float((total / weight - filled[:, None])[missing[:, None]].abs().max()) < 1e-4


def test_errors_at_the_usual_residual_are_below_the_noise() -> None:
    images = scans()
    missing = gaps(images, 0.5)
    difference = impute(images, missing) - impute(images, missing, residual=1e-6)
    assert float(difference.square().mean().sqrt()) < 0.01


def test_noise_lies_in_the_gaps_only() -> None:
    images = scans()
    missing = gaps(images, 0.3)
    noise = torch.ones_like(images)
    difference = impute(images, missing, noise) - impute(images, missing)
    gap = missing[:, None].expand(images.shape)
    np.testing.assert_allclose(difference[gap], 1, atol=1e-5)
    assert (difference[~gap] == 0).all()


def test_what_lay_in_the_gap_does_not_matter_and_nothing_missing_changes_nothing() -> None:
    images = scans()
    missing = gaps(images, 0.3)
    other = torch.where(missing[:, None], 99.0, images)
    torch.testing.assert_close(impute(images, missing), impute(other, missing))
    torch.testing.assert_close(impute(images, torch.zeros_like(missing)), images)

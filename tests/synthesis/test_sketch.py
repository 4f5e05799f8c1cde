"""The linear start, against scikit-learn's principal components."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.decomposition import PCA

from scanlens.synthesis.networks import Generator
from scanlens.synthesis.sketch import PRIOR_SCANS, fit_sketch


def fitted(scans: torch.Tensor, targets: np.ndarray, latent: int = 4) -> Generator:
    generator = Generator(2, 1, side=8, classes=2, latent=latent, width=4)
    fit_sketch(generator, scans, targets)
    return generator


def test_components_are_principal() -> None:
    random = np.random.default_rng(0)
    scans = torch.from_numpy(random.random((40, 1, 8, 8)).astype(np.float32))
    generator = fitted(scans, np.zeros(40, dtype=np.int64))
    flat = scans.flatten(1).numpy()
    expected = PCA(4, svd_solver="full").fit(flat)
    basis = generator.get_buffer("basis").flatten(1).numpy()
    np.testing.assert_allclose(np.abs(np.sum(basis * expected.components_, axis=1)), 1, atol=1e-4)
    loading = generator.get_buffer("loading")[0].numpy()
    variances = np.linalg.eigvalsh(loading @ loading.T)[::-1]
    np.testing.assert_allclose(variances, expected.explained_variance_ * 39 / 40, rtol=1e-4)


def test_sketches_have_the_mean_and_spread_of_their_class() -> None:
    random = np.random.default_rng(0)
    targets = np.repeat([0, 1], 400)
    level = random.normal(np.where(targets, 0.6, 0.4), np.where(targets, 0.02, 0.06))
    scans = torch.from_numpy(np.broadcast_to(level[:, None, None, None], (800, 1, 8, 8)).astype(np.float32))
    generator = fitted(scans, targets, latent=2)
    latent = torch.randn(2000, 2, generator=torch.Generator().manual_seed(0))
    for label, mean, spread in ((0, 0.4, 0.06), (1, 0.6, 0.02)):
        drawn = generator.sketch(latent, torch.full((2000,), label)).mean(dim=(1, 2, 3))
        assert abs(drawn.mean().item() - mean) < 0.02
        assert abs(drawn.std().item() - spread) < 0.01


def test_class_of_one_scan_is_not_that_scan() -> None:
    random = np.random.default_rng(0)
    scans = torch.from_numpy(random.random((21, 1, 8, 8)).astype(np.float32))
    targets = np.array([0] * 20 + [1])
    mean = fitted(scans, targets).get_buffer("mean")[1]
    common = scans.mean(dim=0)
    torch.testing.assert_close(mean - common, (scans[20] - common) / (1 + PRIOR_SCANS))

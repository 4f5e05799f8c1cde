"""The generator's linear start: class means and principal components of the training split.

A Gaussian in the space of the leading principal components ("eigenfaces", Turk and Pentland 1991), one a
class. Classes with few scans are drawn towards what all have in common, so that the mean of a class of one
scan is not that scan.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from scanlens.synthesis.networks import Generator
from scanlens.types import FloatArray, IntArray

PRIOR_SCANS = 16
"""A class's own mean and covariance count as n / (n + PRIOR_SCANS) beside the common ones."""


def fit_sketch(generator: Generator, scans: Tensor, targets: IntArray) -> None:
    """Set the generator's ``mean``, ``basis`` and ``loading``.

    Args:
        generator: Changed in place.
        scans: ``(scan, channel, *spatial)`` in [0, 1] at the working side.
        targets: ``(scan,)`` class indices.
    """
    latent = generator.arguments["latent"]
    flat = scans.flatten(1).numpy().astype(np.float64)
    common = flat.mean(axis=0)
    means = np.tile(common, (generator.arguments["classes"], 1))
    for label in np.unique(targets):
        own = _own_share(int((targets == label).sum()))
        means[label] = own * flat[targets == label].mean(axis=0) + (1 - own) * common
    deviations = flat - means[targets]
    basis = _principal_components(deviations, latent)
    weights = deviations @ basis.T
    pooled = weights.T @ weights / len(weights)
    loading = np.zeros((len(means), latent, latent))
    for label in range(len(means)):
        members = weights[targets == label]
        own = _own_share(len(members))
        covariance = (1 - own) * pooled + own * members.T @ members / max(len(members), 1)
        values, vectors = np.linalg.eigh(covariance)
        loading[label] = vectors * np.sqrt(np.clip(values, 0, None))
    for name, values in (("mean", means), ("basis", basis), ("loading", loading)):
        buffer = generator.get_buffer(name)
        buffer.copy_(torch.from_numpy(values).reshape(buffer.shape))


def _own_share(scans: int) -> float:
    return scans / (scans + PRIOR_SCANS)


def _principal_components(deviations: FloatArray, count: int) -> FloatArray:
    """Leading orthonormal directions, ``(count, pixel)``; zero rows where there are fewer."""
    # The matrix of scans by scans is far smaller than that of pixels by pixels.
    values, vectors = np.linalg.eigh(deviations @ deviations.T)
    order = [place for place in np.argsort(values)[::-1][:count] if values[place] > 1e-9 * values.max() > 0]
    basis = np.zeros((count, deviations.shape[1]))
    basis[: len(order)] = (vectors[:, order].T @ deviations) / np.sqrt(values[order])[:, None]
    return basis

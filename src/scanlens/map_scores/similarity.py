"""How alike two maps of one scan are: in the order of their pixels, and in structure."""

from __future__ import annotations

import numpy as np
import torch
from scipy.stats import rankdata
from torchmetrics.functional.image import structural_similarity_index_measure

from scanlens.types import FloatArray

SIMILARITIES = ("spearman", "ssim")
SIGMA, HALF_WINDOW = 1.5, 5
"""Of the paper's Gaussian window, in pixels: 11 wide."""


def similarity(first: FloatArray, second: FloatArray) -> dict[str, FloatArray]:
    """Spearman's rank correlation over pixels, and structural similarity, of each pair of maps.

    For SSIM (Wang et al. 2004) both maps of a pair are divided by the greater of their two maxima, so that it
    also sees when one is weaker than the other. A constant map has no order: its correlation is 0.

    Args:
        first: ``(batch, *spatial)``, >= 0, 2 or 3 spatial axes.
        second: The same shape.

    Returns:
        :data:`SIMILARITIES`, ``(batch,)`` each, in [-1, 1].

    Raises:
        ValueError: The shapes differ, or a side is below 3.
    """
    if first.shape != second.shape or min(first.shape[1:]) < 3:
        raise ValueError(f"expected two arrays (batch, *spatial), got {first.shape} and {second.shape}")
    return {"spearman": _spearman(first, second), "ssim": _ssim(first, second)}


def _spearman(first: FloatArray, second: FloatArray) -> FloatArray:
    one, two = (rankdata(maps.reshape(len(maps), -1), axis=1) for maps in (first, second))
    one, two = (placed - placed.mean(axis=1, keepdims=True) for placed in (one, two))
    spread = np.sqrt((one**2).sum(axis=1) * (two**2).sum(axis=1))
    return np.divide((one * two).sum(axis=1), spread, out=np.zeros(len(first)), where=spread > 0)


def _ssim(first: FloatArray, second: FloatArray) -> FloatArray:
    axes = tuple(range(1, first.ndim))
    greatest = np.maximum(first.max(axis=axes, keepdims=True), second.max(axis=axes, keepdims=True))
    one, two = (
        torch.from_numpy(np.ascontiguousarray(maps / np.where(greatest > 0, greatest, 1), np.float32))[
            :, None
        ]
        for maps in (first, second)
    )
    # Small scans take a smaller window: torchmetrics leaves out half of it at each border.
    half = min(HALF_WINDOW, (min(first.shape[1:]) - 1) // 2)
    sigma = SIGMA * half / HALF_WINDOW
    values = structural_similarity_index_measure(
        one, two, sigma=sigma, kernel_size=2 * half + 1, data_range=1.0, reduction="none"
    )
    found: FloatArray = torch.as_tensor(values).numpy().astype(np.float64).reshape(-1)
    return found

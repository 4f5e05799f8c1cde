"""What training minimises."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn


def class_weights(targets: np.ndarray, classes: int) -> torch.Tensor:
    """Weights ``(class,)`` inverse to class frequency, with mean 1 over the scans.

    Args:
        targets: Class index of every training scan.
        classes: Number of labels; a class without scans gets weight 0.
    """
    counts = np.bincount(targets, minlength=classes).astype(np.float64)
    weights = np.divide(len(targets), classes * counts, out=np.zeros_like(counts), where=counts > 0)
    return torch.from_numpy(weights.astype(np.float32))


def cross_entropy(smoothing: float, weights: torch.Tensor | None) -> nn.CrossEntropyLoss:
    """Cross-entropy with label smoothing (Szegedy et al. 2016) and optional class weights."""
    return nn.CrossEntropyLoss(weight=weights, label_smoothing=smoothing)

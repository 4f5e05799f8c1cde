"""Class weights and label smoothing against other libraries."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from sklearn.utils.class_weight import compute_class_weight

from scanlens.training.losses import class_weights, cross_entropy


@pytest.mark.parametrize("seed", range(4))
def test_class_weights_are_scikit_learns_balanced_ones(seed: int) -> None:
    targets = np.random.default_rng(seed).choice(4, 200, p=[0.6, 0.25, 0.1, 0.05])
    expected = compute_class_weight("balanced", classes=np.unique(targets), y=targets)
    weights = class_weights(targets, 4)
    assert weights.dtype == torch.float32
    assert np.allclose(weights.numpy(), expected, rtol=1e-6)
    assert weights.numpy()[targets].mean() == pytest.approx(1, abs=1e-6)


def test_a_class_without_scans_weighs_nothing() -> None:
    weights = class_weights(np.array([0, 0, 2]), 4).numpy()
    assert weights[1] == weights[3] == 0
    assert np.isfinite(weights).all()
    assert weights[2] == 2 * weights[0]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_smoothed_cross_entropy_by_hand(smoothing: float) -> None:
    rng = np.random.default_rng(0)
    logits, targets = rng.normal(size=(6, 3)), rng.integers(0, 3, 6)
    wanted = (1 - smoothing) * np.eye(3)[targets] + smoothing / 3
    expected = -(wanted * log_softmax(logits, axis=1)).sum(1).mean()
    loss = cross_entropy(smoothing, None)(torch.from_numpy(logits), torch.from_numpy(targets))
    assert float(loss) == pytest.approx(expected)


def test_weights_act_on_their_class() -> None:
    logits, targets = torch.zeros(2, 2), torch.tensor([0, 1])
    logits[0, 0] = 3.0
    plain = cross_entropy(0.0, None)(logits, targets)
    weighed = cross_entropy(0.0, torch.tensor([0.0, 1.0]))(logits, targets)
    assert float(weighed) == pytest.approx(np.log(2))
    assert weighed > plain

"""Losses, class weights and smoothing against torch, torchvision, MONAI, scikit-learn and scipy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from monai.losses import FocalLoss
from scipy.special import expit, log_expit, log_softmax
from sklearn.utils.class_weight import compute_class_weight
from torchvision.ops import sigmoid_focal_loss

from scanlens.config.schema import Loss
from scanlens.models.heads import HEADS, ordinal_logits
from scanlens.training.losses import FITTING, build_loss, class_weights

PLAIN = Loss("auto", 0.0, 2.0, "none")
CLASSES = 4


def drawn(head: str, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Outputs of a head, class indices, and random shares of classes."""
    rng = np.random.default_rng(seed)
    outputs = torch.from_numpy(rng.normal(0, 2, (12, HEADS[head].outputs(CLASSES))).astype(np.float32))
    if head == "ordinal":
        outputs = outputs.sort(1, descending=True).values
    targets = torch.from_numpy(rng.choice(CLASSES, 12, p=[0.5, 0.3, 0.1, 0.1]))
    return outputs, targets, torch.from_numpy(rng.dirichlet(np.ones(CLASSES), 12).astype(np.float32))


@pytest.mark.parametrize("seed", range(4))
def test_class_weights_are_scikit_learns_balanced_ones(seed: int) -> None:
    targets = np.random.default_rng(seed).choice(4, 200, p=[0.6, 0.25, 0.1, 0.05])
    expected = compute_class_weight("balanced", classes=np.unique(targets), y=targets)
    weights = class_weights(targets, 4)
    assert weights.dtype == torch.float32
    assert np.allclose(weights.numpy(), expected, rtol=1e-6)
    assert weights.numpy()[targets].mean() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("effective", [False, True])
def test_a_class_without_scans_weighs_nothing(effective: bool) -> None:
    weights = class_weights(np.array([0, 0, 2]), 4, effective).numpy()
    assert weights[1] == weights[3] == 0
    assert np.isfinite(weights).all()
    assert weights[2] == pytest.approx(2 * weights[0], rel=1e-3)


def test_effective_numbers_by_the_sum_they_close() -> None:
    targets = np.repeat([0, 1, 2], [5000, 300, 10])
    weights = class_weights(targets, 3, effective=True).double().numpy()
    # 1 + beta + beta^2 ... : the n-th scan is new with probability beta^(n - 1).
    worth = np.array([(0.999 ** np.arange(n)).sum() for n in (5000, 300, 10)])
    assert np.allclose(weights[0] / weights, worth / worth[0], rtol=1e-5)
    assert weights[targets].mean() == pytest.approx(1, abs=1e-6)
    inverse = class_weights(targets, 3).numpy()
    assert weights[2] / weights[0] < inverse[2] / inverse[0]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighting", ["none", "inverse", "effective"])
def test_softmax_is_torchs_cross_entropy(smoothing: float, weighting: str) -> None:
    logits, targets, _ = drawn("softmax")
    weights = None
    if weighting != "none":
        weights = class_weights(targets.numpy(), CLASSES, weighting == "effective")
    setting = replace(PLAIN, label_smoothing=smoothing, class_weights=weighting)
    loss = build_loss(setting, "softmax", CLASSES, targets.numpy())
    expected = F.cross_entropy(logits, targets, weights, label_smoothing=smoothing)
    assert float(loss(logits, targets)) == pytest.approx(float(expected), rel=1e-5)
    assert float(loss.plain()(logits, targets)) == pytest.approx(float(F.cross_entropy(logits, targets)))


def test_soft_targets_are_torchs_and_scipys() -> None:
    logits, _, shares = drawn("softmax")
    loss = float(build_loss(PLAIN, "softmax", CLASSES, np.zeros(1, int))(logits, shares))
    assert loss == pytest.approx(float(F.cross_entropy(logits, shares)), rel=1e-5)
    by_hand = -(shares.numpy() * log_softmax(logits.numpy(), axis=1)).sum(1).mean()
    assert loss == pytest.approx(float(by_hand), rel=1e-5)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_softmax_focal_is_monais(gamma: float) -> None:
    logits, targets, shares = drawn("softmax")
    loss = build_loss(replace(PLAIN, name="focal", focal_gamma=gamma), "softmax", CLASSES, targets.numpy())
    # MONAI's mean goes over classes too, and its softmax over spatial places.
    peer = FocalLoss(gamma=gamma, use_softmax=True, to_onehot_y=False)
    for wanted in (F.one_hot(targets, CLASSES).float(), shares):
        expected = CLASSES * float(peer(logits[..., None], wanted[..., None]))
        assert float(loss(logits, wanted)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_sigmoid_focal_is_torchvisions(gamma: float) -> None:
    logits, targets, _ = drawn("sigmoid")
    loss = build_loss(replace(PLAIN, name="focal", focal_gamma=gamma), "sigmoid", CLASSES, targets.numpy())
    one_hot = F.one_hot(targets, CLASSES).float()
    expected = sigmoid_focal_loss(logits, one_hot, alpha=-1, gamma=gamma, reduction="mean")
    assert float(loss(logits, targets)) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_one_against_the_rest_is_torchs_binary_cross_entropy(smoothing: float) -> None:
    logits, targets, shares = drawn("sigmoid")
    loss = build_loss(replace(PLAIN, label_smoothing=smoothing), "sigmoid", CLASSES, targets.numpy())
    for wanted in (F.one_hot(targets, CLASSES).float(), shares):
        smoothed = wanted * (1 - smoothing) + smoothing / CLASSES
        expected = F.binary_cross_entropy_with_logits(logits, smoothed)
        assert float(loss(logits, wanted)) == pytest.approx(float(expected), rel=1e-5)


def test_least_squares_against_one_hot_targets() -> None:
    outputs, targets, shares = drawn("linear")
    loss = build_loss(PLAIN, "linear", CLASSES, targets.numpy())
    expected = F.mse_loss(outputs, F.one_hot(targets, CLASSES).float())
    assert float(loss(outputs, targets)) == pytest.approx(float(expected), rel=1e-5)
    # Against shares it is greater by their variance, which no output changes.
    outputs.requires_grad_()
    (ours,) = torch.autograd.grad(loss(outputs, shares), outputs)
    (theirs,) = torch.autograd.grad(F.mse_loss(outputs, shares), outputs)
    assert torch.allclose(ours, theirs, atol=1e-6)


def test_ordinal_is_corals_sum() -> None:
    outputs, targets, _ = drawn("ordinal")
    loss = build_loss(PLAIN, "ordinal", CLASSES, targets.numpy())
    levels = targets.numpy()[:, None] > np.arange(CLASSES - 1)
    logits = outputs.double().numpy()
    expected = -(levels * log_expit(logits) + ~levels * log_expit(-logits)).sum(1).mean()
    assert float(loss(outputs, targets)) == pytest.approx(expected, rel=1e-5)


def test_ordinal_cross_entropy_is_the_cumulative_links_likelihood() -> None:
    outputs, targets, _ = drawn("ordinal")
    loss = build_loss(replace(PLAIN, name="cross_entropy"), "ordinal", CLASSES, targets.numpy())
    above = np.pad(expit(outputs.double().numpy()), ((0, 0), (1, 0)), constant_values=1)
    probabilities = above - np.pad(above[:, 1:], ((0, 0), (0, 1)))
    expected = -np.log(probabilities[np.arange(12), targets.numpy()]).mean()
    assert float(loss(outputs, targets)) == pytest.approx(expected, rel=1e-4)
    assert torch.allclose(ordinal_logits(outputs, CLASSES).exp().sum(1), torch.ones(12), atol=1e-4)


def test_regression_is_squared_error_of_numbers_and_of_class_numbers() -> None:
    outputs, targets, shares = drawn("regression")
    loss = build_loss(replace(PLAIN, label_smoothing=0.3), "regression", CLASSES, targets.numpy())
    numbers = torch.linspace(-3, 5, 12, dtype=torch.float64)
    for wanted, same in ((numbers, numbers), (targets, targets), (shares, shares @ torch.arange(4.0))):
        expected = float(((outputs[:, 0] - same) ** 2).mean())
        assert float(loss(outputs, wanted)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("head", "name"), [(head, name) for head, names in FITTING.items() for name in names]
)
@pytest.mark.parametrize("weighting", ["none", "inverse"])
def test_hard_targets_are_soft_ones_and_gradients_are_finite(head: str, name: str, weighting: str) -> None:
    if head == "regression" and weighting != "none":
        return
    outputs, targets, _ = drawn(head)
    setting = Loss(name, 0.1, 0.5, weighting)
    loss = build_loss(setting, head, CLASSES, targets.numpy())
    hard = float(loss(outputs, targets))
    assert float(loss(outputs, F.one_hot(targets, CLASSES))) == pytest.approx(hard, rel=1e-6)
    extreme = (outputs * 200).requires_grad_()
    loss(extreme, targets).backward()
    assert torch.isfinite(extreme.grad).all()


@pytest.mark.parametrize("head", [head for head in FITTING if head != "regression"])
def test_weights_act_on_their_class(head: str) -> None:
    outputs, targets, _ = drawn(head)
    assert len(targets.unique()) > 1
    loss = build_loss(replace(PLAIN, class_weights="inverse"), head, CLASSES, targets.numpy())
    plain = loss.plain()
    weights = class_weights(targets.numpy(), CLASSES)[targets]
    one_by_one = torch.stack([plain(outputs[i : i + 1], targets[i : i + 1]) for i in range(12)])
    assert float(loss(outputs, targets)) == pytest.approx(float((one_by_one * weights).mean()), rel=1e-5)


def test_every_head_has_losses_and_auto_takes_the_first() -> None:
    assert set(FITTING) == set(HEADS)
    for head, names in FITTING.items():
        outputs, targets, _ = drawn(head)
        auto = build_loss(PLAIN, head, CLASSES, targets.numpy())(outputs, targets)
        named = build_loss(replace(PLAIN, name=names[0]), head, CLASSES, targets.numpy())(outputs, targets)
        assert torch.equal(auto, named)

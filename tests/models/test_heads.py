"""Outputs to logits, against probabilities computed another way."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import special, stats

from scanlens.models.classifier import OrdinalLinear
from scanlens.models.heads import HEADS


def falling(scans: int, outputs: int, scale: float = 3.0) -> torch.Tensor:
    """Outputs as an ordinal head gives them."""
    noise = torch.Generator().manual_seed(0)
    return (torch.randn(scans, outputs, generator=noise) * scale).sort(1, descending=True).values


@pytest.mark.parametrize("classes", [2, 3, 6])
def test_ordinal_probabilities_are_differences_of_the_cumulative_ones(classes: int) -> None:
    outputs = falling(50, classes - 1)
    above = special.expit(outputs.double().numpy())
    cumulative = np.concatenate([np.ones((50, 1)), above, np.zeros((50, 1))], axis=1)
    expected = cumulative[:, :-1] - cumulative[:, 1:]
    logits = HEADS["ordinal"].to_logits(outputs, classes)
    assert logits.shape == (50, classes)
    # They are log-probabilities: the softmax changes nothing.
    np.testing.assert_allclose(special.softmax(logits.double().numpy(), axis=1), expected, atol=1e-6)
    np.testing.assert_allclose(logits.exp().numpy(), expected, atol=1e-6)


def test_the_ordinal_head_is_the_cumulative_link_model_of_the_logistic_distribution() -> None:
    """McCullagh's form: P(y <= k) = F(threshold_k - score)."""
    torch.manual_seed(1)
    head = OrdinalLinear(5, 3)
    torch.nn.init.normal_(head.steps)
    features = torch.randn(20, 5)
    with torch.no_grad():
        outputs = head(features)
        score = head.score(features)[:, 0].numpy()
        thresholds = -head.bias.numpy()
    assert (np.diff(thresholds) > 0).all()
    cumulative = stats.logistic.cdf(thresholds[None] - score[:, None])
    expected = np.diff(np.pad(cumulative, ((0, 0), (1, 1)), constant_values=(0, 1)), axis=1)[:, :]
    expected[:, -1] = 1 - cumulative[:, -1]
    logits = HEADS["ordinal"].to_logits(outputs, 4)
    np.testing.assert_allclose(logits.exp().numpy(), expected, atol=1e-6)
    torch.testing.assert_close(outputs, features @ head.weight.T + head.bias)


def test_logits_of_places_are_those_of_scans() -> None:
    outputs = falling(12, 3).reshape(2, 2, 3, 3).permute(0, 3, 1, 2)
    for name, given in (("ordinal", outputs), ("regression", outputs[:, :1])):
        local = HEADS[name].to_logits(given, 4)
        assert local.shape == (2, 4, 2, 3)
        torch.testing.assert_close(local[:, :, 1, 2], HEADS[name].to_logits(given[:, :, 1, 2], 4))


@pytest.mark.parametrize("size", [0.0, 30.0, 1e4, 1e30])
@pytest.mark.parametrize("equal", [False, True])
def test_ordinal_gradients_are_finite_for_extreme_outputs(size: float, equal: bool) -> None:
    outputs = torch.tensor([[1.0, 0.5, -1.0], [1.0, 1.0, 1.0], [-1.0, -1.5, -2.0]]) * size
    if equal:
        outputs = outputs[:, :1].expand(-1, 3)
    outputs = outputs.clone().requires_grad_()
    logits = HEADS["ordinal"].to_logits(outputs, 4)
    assert torch.isfinite(logits).all()
    logits.sum().backward()
    assert outputs.grad is not None
    assert torch.isfinite(outputs.grad).all()


def test_regression_logits_are_normal_densities_around_the_number() -> None:
    numbers = torch.tensor([[0.2], [2.7], [-1.0]])
    logits = HEADS["regression"].to_logits(numbers, 4)
    density = stats.norm.pdf(np.arange(4)[None], loc=numbers.numpy())
    np.testing.assert_allclose(torch.softmax(logits, 1), density / density.sum(1, keepdims=True), atol=1e-6)
    # The temperature is the variance.
    sharper = stats.norm.pdf(np.arange(4)[None], loc=numbers.numpy(), scale=0.5)
    np.testing.assert_allclose(
        torch.softmax(logits / 0.25, 1), sharper / sharper.sum(1, keepdims=True), atol=1e-6
    )
    assert logits.argmax(1).tolist() == [0, 3, 0]


def test_a_number_without_classes_is_its_own_logit() -> None:
    numbers = torch.tensor([[0.2], [2.7]])
    assert torch.equal(HEADS["regression"].to_logits(numbers, 1), numbers)


@pytest.mark.parametrize("name", ["softmax", "sigmoid", "linear"])
def test_logits_of_linear_heads_are_their_outputs(name: str) -> None:
    outputs = torch.randn(3, 4)
    assert HEADS[name].linear
    assert HEADS[name].outputs(4) == 4
    assert torch.equal(HEADS[name].to_logits(outputs, 4), outputs)


@pytest.mark.parametrize(("name", "classes"), [("ordinal", 2), ("ordinal", 5), ("regression", 4)])
def test_the_slope_is_the_derivative_by_the_score(name: str, classes: int) -> None:
    head = HEADS[name]
    assert not head.linear
    outputs = falling(6, head.outputs(classes)).double()
    score = torch.zeros(6, 1, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(
        lambda shift: head.to_logits(outputs + shift, classes), score
    )
    expected = torch.stack([jacobian[scan, :, scan, 0] for scan in range(6)])
    assert head.slope is not None
    torch.testing.assert_close(head.slope(outputs, classes), expected)

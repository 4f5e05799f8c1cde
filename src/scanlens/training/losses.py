"""What training minimises.

A loss of classes says what each class would cost, were it the true one: ``(batch, class)``. The target's
share in each class weighs these costs, so that smoothing, weights and mixed targets mean the same everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scanlens.config.schema import Loss
from scanlens.config.settings import FITTING
from scanlens.models.heads import HEADS, ordinal_logits

NOVELTY = 0.999
"""Chance that one more scan of a class shows something new: beta of Cui et al. 2019."""
LEAST = 1e-7
"""1 - p where p rounds to 1: a power below 1 has no derivative at 0."""

Costs = Callable[[Tensor], Tensor]
"""From outputs ``(batch, output)`` to what each class would cost, ``(batch, class)``."""


def class_weights(targets: np.ndarray, classes: int, effective: bool = False) -> Tensor:
    """Weights ``(class,)`` with mean 1 over the scans; a class without scans gets 0.

    Args:
        targets: Class index of every training scan.
        classes: Number of labels.
        effective: Inverse to the effective number of scans, ``(1 - beta^n) / (1 - beta)`` (Cui et al. 2019,
            "Class-balanced loss"), which grows less where further scans repeat each other; else inverse to
            their number.
    """
    counts = np.bincount(targets, minlength=classes).astype(np.float64)
    worth = (1 - NOVELTY**counts) / (1 - NOVELTY) if effective else counts
    weights = np.divide(1, worth, out=np.zeros_like(counts), where=counts > 0)
    weights *= counts.sum() / (weights * counts).sum()
    return torch.from_numpy(weights.astype(np.float32))


def soft_targets(targets: Tensor, classes: int) -> Tensor:
    """Shares of the classes, float32 ``(batch, class)``, from class indices ``(batch,)`` or shares."""
    return targets.float() if targets.ndim == 2 else F.one_hot(targets.long(), classes).float()


def label_values(targets: Tensor) -> Tensor:
    """Numbers ``(batch,)`` from numbers, class indices, or shares of classes ``(batch, class)``."""
    if targets.ndim == 2:
        return targets.float() @ torch.arange(targets.shape[1], dtype=torch.float32, device=targets.device)
    return targets.float()


class ScanLoss(nn.Module):
    """A loss of outputs ``(batch, output)`` and targets, and its plain form that validation reports."""

    def plain(self) -> ScanLoss:
        """The same without smoothing and weights."""
        return self


class NumberLoss(ScanLoss):
    """Squared error of one output against numbers, or against class numbers where targets are classes.

    Args:
        spread: Standard deviation of the numbers: errors count in units of it, so that neither the rate of
            learning nor the weight of penalties depends on the numbers' unit.
    """

    def __init__(self, spread: float = 1.0) -> None:
        super().__init__()
        self.spread = spread

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean loss.

        Args:
            outputs: ``(batch, 1)``.
            targets: Numbers or class indices ``(batch,)``, or shares of classes ``(batch, class)``, which
                stand for the mean of their class numbers.
        """
        return F.mse_loss(outputs[:, 0] / self.spread, label_values(targets) / self.spread)


class ClassLoss(ScanLoss):
    """Costs of the classes, weighed by the targets' shares.

    With smoothing s of K classes, shares become ``(1 - s) shares + s / K`` (Szegedy et al. 2016). Scans
    count by the weight of their class, as in torch's cross-entropy.

    Args:
        costs: Of the classes.
        classes: Number of labels.
        smoothing: In [0, 1).
        weights: One a class, or None.
    """

    weights: Tensor

    def __init__(
        self, costs: Costs, classes: int, smoothing: float = 0.0, weights: Tensor | None = None
    ) -> None:
        super().__init__()
        self.costs = costs
        self.classes = classes
        self.smoothing = smoothing
        # Follows from the targets, so checkpoints need not hold it.
        self.register_buffer("weights", torch.ones(classes) if weights is None else weights, persistent=False)

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean loss.

        Args:
            outputs: ``(batch, output)``.
            targets: Class indices ``(batch,)``, or shares ``(batch, class)`` that sum to 1.
        """
        shares = soft_targets(targets, self.classes)
        wanted = shares * (1 - self.smoothing) + self.smoothing / self.classes
        return (wanted * self.weights * self.costs(outputs)).sum() / (shares @ self.weights).sum()

    def plain(self) -> ScanLoss:
        """The same without smoothing and weights."""
        return ClassLoss(self.costs, self.classes)


def cross_entropy_costs(logits: Tensor) -> Tensor:
    """``-log p`` of the softmax."""
    return -logits.log_softmax(1)


def focal_costs(logits: Tensor, gamma: float) -> Tensor:
    """``-(1 - p)^gamma log p`` of the softmax (Lin et al. 2017, "Focal loss", for more than two classes)."""
    logs = logits.log_softmax(1)
    return -((1 - logs.exp()).clamp(min=LEAST) ** gamma) * logs


def binary_costs(outputs: Tensor, codes: Tensor, gamma: float = 0.0) -> Tensor:
    """Summed binary cross-entropies of several yes-or-no outputs, focal where gamma is not 0.

    Args:
        outputs: ``(batch, output)``, logits of yes.
        codes: What each class says of each output, 0 or 1, ``(class, output)``.
        gamma: Exponent of ``1 - p`` of the true answer (Lin et al. 2017).
    """
    # From the logarithm, so that no power of an exact 0 is taken.
    yes = -F.logsigmoid(outputs) * torch.exp(gamma * F.logsigmoid(-outputs))
    no = -F.logsigmoid(-outputs) * torch.exp(gamma * F.logsigmoid(outputs))
    return no.sum(1, keepdim=True) + (yes - no) @ codes.to(outputs).T


def square_costs(outputs: Tensor, codes: Tensor) -> Tensor:
    """Mean squared differences from each class's code ``(class, output)``."""
    return ((outputs[:, None] - codes.to(outputs)) ** 2).mean(2)


def _costs(name: str, head: str, classes: int, gamma: float) -> Costs:
    one_hot = torch.eye(classes)
    if head == "linear":
        return partial(square_costs, codes=one_hot)
    if head == "sigmoid":
        return partial(_mean_binary_costs, codes=one_hot, gamma=gamma if name == "focal" else 0.0)
    if head == "ordinal" and name == "bce":
        # Is the label above class k? CORAL, Cao et al. 2020: summed over k.
        return partial(binary_costs, codes=torch.ones(classes, classes - 1).tril(-1))
    if head == "ordinal":
        return partial(_cumulative_costs, classes=classes)
    return partial(focal_costs, gamma=gamma) if name == "focal" else cross_entropy_costs


def _mean_binary_costs(outputs: Tensor, codes: Tensor, gamma: float) -> Tensor:
    return binary_costs(outputs, codes, gamma) / codes.shape[1]


def _cumulative_costs(outputs: Tensor, classes: int) -> Tensor:
    return cross_entropy_costs(ordinal_logits(outputs, classes))


def build_loss(loss: Loss, head: str, classes: int, targets: np.ndarray) -> ScanLoss:
    """The loss that the settings name, for a head.

    ==========  ===========================================================================================
    head        losses, the first where ``auto``
    ==========  ===========================================================================================
    softmax     cross_entropy; focal
    sigmoid     bce, one class against the rest, mean over the classes; focal of the same
    linear      mse against one-hot targets (least squares)
    ordinal     bce of "above class k", summed over k (CORAL); cross_entropy of the cumulative link model
    regression  mse
    ==========  ===========================================================================================

    Label smoothing and class weights act on every loss of classes; a number has no classes, so smoothing
    leaves it alone.

    Args:
        loss: The settings.
        head: Key of :data:`scanlens.models.heads.HEADS`.
        classes: Number of labels.
        targets: Of the training scans, for class weights.
    """
    name = FITTING[head][0] if loss.name == "auto" else loss.name
    if HEADS[head].is_number:
        numeric = np.issubdtype(targets.dtype, np.floating)
        return NumberLoss(float(targets.std()) or 1.0) if numeric else NumberLoss()
    weights = None
    if loss.class_weights != "none":
        weights = class_weights(targets, classes, effective=loss.class_weights == "effective")
    return ClassLoss(_costs(name, head, classes, loss.focal_gamma), classes, loss.label_smoothing, weights)

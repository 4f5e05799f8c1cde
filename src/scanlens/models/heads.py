"""From the outputs of the last layer to one logit a class, for each kind of head.

``outputs`` are what the loss sees; ``logits`` are what calibration, evaluation and maps see: their softmax is
the class probability. For a head that predicts a number both are that number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Head:
    """One kind of head.

    Attributes:
        outputs: From the number of classes to the number of outputs.
        to_logits: From outputs ``(batch, output, ...)`` to logits ``(batch, class, ...)``.
        linear: Whether logits are linear in the outputs, so that the mean of local logits is the logit.
    """

    outputs: Callable[[int], int]
    to_logits: Callable[[Tensor], Tensor]
    linear: bool


def _as_they_are(outputs: Tensor) -> Tensor:
    return outputs


def ordinal_logits(outputs: Tensor) -> Tensor:
    """Log-probabilities ``(batch, class, ...)`` of ordered classes.

    Args:
        outputs: ``(batch, class - 1, ...)``: output k is the logit of "the label is above class k"
            (McCullagh 1980, "Regression models for ordinal data"). They fall with k by construction of
            the head (one weight vector, ordered biases: CORAL, Cao et al. 2020).
    """
    above = F.logsigmoid(outputs)
    below = F.logsigmoid(-outputs)
    # P(y = k) = P(y > k - 1) - P(y > k) = sigma(a) sigma(-b) (1 - exp(b - a)) for
    # a = output k-1, b = output k.
    gaps = (outputs[:, 1:] - outputs[:, :-1]).clamp(max=-1e-6)
    middle = above[:, :-1] + below[:, 1:] + torch.log(-torch.expm1(gaps))
    return torch.cat([below[:, :1], middle, above[:, -1:]], dim=1)


HEADS = {
    "softmax": Head(lambda classes: classes, _as_they_are, linear=True),
    "sigmoid": Head(lambda classes: classes, _as_they_are, linear=True),
    "linear": Head(lambda classes: classes, _as_they_are, linear=True),
    "ordinal": Head(lambda classes: classes - 1, ordinal_logits, linear=False),
    "regression": Head(lambda classes: 1, _as_they_are, linear=True),
}
"""Kinds of head by name. The sigmoid head is trained one class against the rest; its scores are compared by
softmax afterwards, which the temperature calibrates."""

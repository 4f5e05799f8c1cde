"""From the outputs of the last layer to one logit a class, for each kind of head.

``outputs`` are what the loss sees; ``logits`` are what calibration, evaluation and maps see: their softmax is
the class probability. Where a number is predicted and there are no classes, both are that number.
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
        to_logits: From outputs ``(batch, output, ...)`` and the number of classes to logits
            ``(batch, class, ...)``.
        slope: For heads whose outputs differ by constants only (one score): derivative of the logits with
            respect to that score, ``(batch, class)``, from outputs ``(batch, output)`` and the number of
            classes. None where logits are the outputs, so that the mean of local logits is the logit.
        least_classes: Fewest classes it can be for; 1 of a number, which is no class.
        is_number: Whether its one output is a number, not a score of a class.
    """

    outputs: Callable[[int], int]
    to_logits: Callable[[Tensor, int], Tensor]
    slope: Callable[[Tensor, int], Tensor] | None = None
    least_classes: int = 2
    is_number: bool = False

    @property
    def linear(self) -> bool:
        """Whether logits are linear in the outputs, so that the mean of local logits is the logit."""
        return self.slope is None


def _as_they_are(outputs: Tensor, classes: int) -> Tensor:
    return outputs


def ordinal_logits(outputs: Tensor, classes: int) -> Tensor:
    """Log-probabilities ``(batch, class, ...)`` of ordered classes.

    Args:
        outputs: ``(batch, class - 1, ...)``: output k is the logit of "the label is above class k"
            (McCullagh 1980, "Regression models for ordinal data"). They fall with k by construction of
            the head (one weight vector, ordered biases: CORAL, Cao et al. 2020).
        classes: Number of classes.
    """
    # log sigma(x) = -softplus(-x); ONNX has no logsigmoid, and the logarithm of ONNX Runtime's sigmoid is off
    # by percents for improbable classes.
    above = -F.softplus(-outputs)
    below = -F.softplus(outputs)
    # P(y = k) = P(y > k - 1) - P(y > k) = sigma(a) sigma(-b) (1 - exp(b - a)) for
    # a = output k-1, b = output k.
    gaps = (outputs[:, 1:] - outputs[:, :-1]).clamp(max=-1e-6)
    middle = above[:, :-1] + below[:, 1:] + torch.log(-torch.expm1(gaps))
    return torch.cat([below[:, :1], middle, above[:, -1:]], dim=1)


def _ordinal_slope(outputs: Tensor, classes: int) -> Tensor:
    """A step of the score raises class k's log-probability by ``1 - P(y > k - 1) - P(y > k)``."""
    above = torch.sigmoid(outputs)
    return 1 - F.pad(above, (1, 0), value=1.0) - F.pad(above, (0, 1), value=0.0)


def regression_logits(outputs: Tensor, classes: int) -> Tensor:
    """Logits ``(batch, class, ...)`` of classes 0, 1, 2 ... where their number was predicted.

    ``-(number - class)^2 / 2``: the log-density of a normal distribution around the predicted number, but for
    its variance, which the calibration's temperature is.

    Args:
        outputs: The number, ``(batch, 1, ...)``.
        classes: Number of classes; with 1 the number itself is given back.
    """
    if classes == 1:
        return outputs
    ranks = torch.arange(classes, dtype=outputs.dtype, device=outputs.device)
    return -((outputs - ranks.reshape(1, -1, *[1] * (outputs.ndim - 2))) ** 2) / 2


def _regression_slope(outputs: Tensor, classes: int) -> Tensor:
    if classes == 1:
        return torch.ones_like(outputs)
    return torch.arange(classes, dtype=outputs.dtype, device=outputs.device) - outputs


HEADS = {
    "softmax": Head(lambda classes: classes, _as_they_are),
    "sigmoid": Head(lambda classes: classes, _as_they_are),
    "linear": Head(lambda classes: classes, _as_they_are, least_classes=1),
    "ordinal": Head(lambda classes: classes - 1, ordinal_logits, _ordinal_slope),
    "regression": Head(
        lambda classes: 1, regression_logits, _regression_slope, least_classes=1, is_number=True
    ),
}
"""Kinds of head by name. The sigmoid head is trained one class against the rest; its scores are compared by
softmax afterwards, which the temperature calibrates."""

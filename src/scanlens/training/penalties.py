"""L1 and L2 penalties by layer group, added to the loss.

Unlike weight decay they pass through the optimiser's own scaling; L1 drives weights to zero (Tibshirani
1996).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scanlens.config.schema import Penalties, Penalty


def _sum(parameters: list[nn.Parameter], penalty: Penalty) -> list[Tensor]:
    terms = []
    for parameter in parameters:
        # Biases and norms are not shrunk, and what is frozen has nothing to learn from a penalty.
        if parameter.ndim > 1 and parameter.requires_grad:
            if penalty.l1:
                terms.append(penalty.l1 * parameter.abs().sum())
            if penalty.l2:
                terms.append(penalty.l2 * parameter.square().sum())
    return terms


def penalty(network: nn.Module, penalties: Penalties) -> Tensor:
    """``l1 * sum|w| + l2 * sum w^2`` over the weights that learn, a scalar; zero at no cost where all are 0.

    Args:
        network: A classifier, or what stands in for it; all that is not its backbone is its head.
        penalties: Factors of the backbone and of hidden layers with the head.
    """
    groups = (penalties.backbone, penalties.head)
    if not any(group.l1 or group.l2 for group in groups):
        return torch.zeros((), device=next(network.parameters()).device)
    backbone = getattr(network, "backbone", None)
    deep = list(backbone.parameters()) if isinstance(backbone, nn.Module) else []
    known = {id(parameter) for parameter in deep}
    head = [parameter for parameter in network.parameters() if id(parameter) not in known]
    terms = _sum(deep, penalties.backbone) + _sum(head, penalties.head)
    return torch.stack(terms).sum() if terms else torch.zeros((), device=next(network.parameters()).device)

"""Grad-CAM for any head: one forward pass to the target layer, gradients through what follows it only.

Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization",
2017: weight each channel of the target layer by the mean over places of the logit's gradient, sum over
channels, keep the positive part. The maps here are raw: no rescaling to the image's own maximum. Where
pooling is the average :func:`scanlens.explanation.maps.grad_cam` gives the same numbers without a gradient.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from scanlens.errors import ScanlensError


def grad_cam(features: Tensor, head: Callable[[Tensor], Tensor]) -> Tensor:
    """Raw Grad-CAM of every class.

    Args:
        features: Target layer's output ``(batch, channel, *grid)``.
        head: What follows the target layer, ``features -> logits (batch, class)``, in evaluation mode
            (no scan of a batch may depend on another).

    Returns:
        ``(batch, class, *grid)``, >= 0, in units of the logit.

    Raises:
        ScanlensError: The target layer keeps no places to draw a map over.
    """
    if features.ndim < 3:
        raise ScanlensError(
            f"Maps need features (batch, channel, *grid), the network gives {tuple(features.shape)}: "
            "it keeps no places.",
            "Choose a convolutional model.name for maps.",
        )
    places = tuple(range(2, features.ndim))
    with torch.enable_grad():
        leaf = features.detach().requires_grad_()
        logits = head(leaf.clone())  # the clone lets the head begin with an in-place layer
        maps = []
        for index in range(logits.shape[1]):
            (gradient,) = torch.autograd.grad(logits[:, index].sum(), leaf, retain_graph=True)
            maps.append((gradient.mean(dim=places, keepdim=True) * leaf).sum(dim=1).relu().detach())
    return torch.stack(maps, dim=1)

"""AdamW under a one-cycle schedule, with a rate of its own for the backbone."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from scanlens.models.classifier import Classifier


def parameter_groups(
    network: Classifier, lr: float, backbone_lr_scale: float, weight_decay: float
) -> list[dict[str, Any]]:
    """Four groups: backbone and head, each with and without weight decay.

    Norm scales and biases are not decayed: pulling them to zero regularises nothing (He et al. 2019,
    "Bag of tricks", section 3.1).
    """
    groups = []
    for part, rate in ((network.backbone, lr * backbone_lr_scale), (network.head, lr)):
        decayed = [p for p in part.parameters() if p.ndim > 1]
        plain = [p for p in part.parameters() if p.ndim <= 1]
        groups += [
            {"params": decayed, "lr": rate, "weight_decay": weight_decay},
            {"params": plain, "lr": rate, "weight_decay": 0.0},
        ]
    return groups


def one_cycle(
    network: Classifier, lr: float, backbone_lr_scale: float, weight_decay: float, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """The optimiser and its schedule over ``steps`` steps (Smith & Topin 2019)."""
    # A backbone that never learns has rate 0, which the schedule cannot divide by.
    groups = [
        g
        for g in parameter_groups(network, lr, backbone_lr_scale, weight_decay)
        if g["lr"] > 0 and g["params"]
    ]
    optimiser = torch.optim.AdamW(groups)
    steps = max(steps, 2)
    # With a rise of exactly one step (4 steps in all) the schedule divides by zero.
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=[g["lr"] for g in groups], total_steps=steps, pct_start=max(0.25, 1.5 / steps)
    )
    return optimiser, schedule


def set_trainable(part: nn.Module, trainable: bool) -> None:
    """Freeze or thaw every parameter of ``part``."""
    for parameter in part.parameters():
        parameter.requires_grad = trainable

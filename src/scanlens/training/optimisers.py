"""Groups of parameters with a rate and a decay of their own, and what takes the steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from scanlens.config.schema import Optimiser
from scanlens.models.depth import block_parameters, blocks
from scanlens.training.recipe import Recipe
from scanlens.training.schedules import build_schedule

Groups = list[dict[str, Any]]


def _adam(kind: type[torch.optim.Adam]) -> Callable[[Groups, Optimiser], torch.optim.Optimizer]:
    def make(groups: Groups, settings: Optimiser) -> torch.optim.Optimizer:
        # On a processor the fused step takes a quarter of the time and rounds alike in every run. On a GPU
        # it would unscale gradients itself, and then they can't be clipped in fp16.
        fused = all(parameter.device.type == "cpu" for group in groups for parameter in group["params"])
        made = kind(groups, fused=fused or None)
        if fused:
            # On a processor nothing is scaled, but Lightning would refuse to clip gradients under bf16.
            made._step_supports_amp_scaling = False  # type: ignore[attr-defined]
        return made

    return make


OPTIMISERS: dict[str, Callable[[Groups, Optimiser], torch.optim.Optimizer]] = {
    "sgd": lambda groups, settings: torch.optim.SGD(groups, lr=0.0),
    "momentum": lambda groups, settings: torch.optim.SGD(
        groups, lr=0.0, momentum=settings.momentum, nesterov=settings.momentum > 0
    ),
    "rmsprop": lambda groups, settings: torch.optim.RMSprop(groups, momentum=settings.momentum),
    "adam": _adam(torch.optim.Adam),
    "adamw": _adam(torch.optim.AdamW),
}
"""By name, from groups that hold their rates."""


def parameter_groups(network: nn.Module, recipe: Recipe) -> Groups:
    """Every parameter once: the backbone by depth, hidden layers and head last.

    Each part comes with decay (``head``) and without (``head.plain``): pulling norm scales and biases to zero
    regularises nothing (He et al. 2019, "Bag of tricks", section 3.1). The last block of the backbone learns
    at ``backbone_lr_scale`` of the head's rate, each block before it at ``layer_decay`` of the one behind it
    (Howard and Ruder 2018, "discriminative fine-tuning").

    Args:
        network: A classifier, or what stands in for it; all that is not its backbone is its head.
        recipe: Rate, decay and shares.

    Returns:
        Groups with ``name`` (``backbone.0``, ``backbone.0.plain`` ... ``head``), ``params``, ``lr``,
        ``weight_decay``; none is empty.
    """
    rate, thaw = recipe.lr, recipe.thaw
    backbone = getattr(network, "backbone", None)
    by_depth = blocks(backbone) if isinstance(backbone, nn.Module) else []
    parts = [
        (f"backbone.{number}", block_parameters(block),
         rate * thaw.backbone_lr_scale * thaw.layer_decay ** (len(by_depth) - 1 - number))
        for number, block in enumerate(by_depth)
    ]  # fmt: skip
    taken = {id(parameter) for _, parameters, _ in parts for parameter in parameters}
    rest = [parameter for parameter in network.parameters() if id(parameter) not in taken]
    parts.append(("head", rest, rate))
    groups: Groups = []
    seen: set[int] = set()
    for name, parameters, lr in parts:
        # A parameter that two modules share is stepped once, where it comes first.
        fresh = [p for p in dict.fromkeys(parameters) if id(p) not in seen]
        seen.update(id(p) for p in fresh)
        decayed = [p for p in fresh if p.ndim > 1]
        plain = [p for p in fresh if p.ndim <= 1]
        for label, chosen, decay in ((name, decayed, recipe.weight_decay), (f"{name}.plain", plain, 0.0)):
            if chosen:
                groups.append({"name": label, "params": chosen, "lr": lr, "weight_decay": decay})
    return groups


def configure(network: nn.Module, recipe: Recipe, steps: int) -> tuple[torch.optim.Optimizer, LRScheduler]:
    """The optimiser of a fit and its schedule.

    The optimiser holds all parameters from the start, also those that thaw later: without a gradient they are
    passed over, and their momentum begins when they thaw.

    Args:
        network: See :func:`parameter_groups`.
        recipe: The settings.
        steps: Optimiser steps of the whole training; the schedule moves once a step.
    """
    groups = parameter_groups(network, recipe)
    optimiser = OPTIMISERS[recipe.optimiser.name](groups, recipe.optimiser)
    return optimiser, build_schedule(optimiser, recipe.schedule, steps)

"""How the learning rate moves, a step at a time.

Every group of parameters moves by the same factor of its own peak.
"""

from __future__ import annotations

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from scanlens.config.schema import Schedule

LEAST_FINAL = 1e-4
"""An exponential never reaches zero; this is its last factor where ``final`` is smaller."""
DROPS = (0.5, 0.75)
"""Shares of the steps behind the warm-up at which ``step`` divides the rate by ten (He et al. 2016)."""


def factor(schedule: Schedule, step: int, steps: int) -> float:
    """The rate of one step as a share of the peak; all schedules but ``one_cycle``.

    The warm-up is linear: its first of n steps has 1/n of the peak, its last the peak (Goyal et al. 2017).
    Behind it ``cosine`` (Loshchilov and Hutter 2017) and ``exponential`` reach ``final`` at the last step.

    Args:
        schedule: The settings.
        step: From 0.
        steps: Of the whole training, at least 1.
    """
    rising = min(round(schedule.warmup * steps), steps - 1)
    if step < rising:
        return (step + 1) / rising
    progress = min((step - rising) / max(steps - 1 - rising, 1), 1.0)
    if schedule.name == "cosine":
        return schedule.final + (1 - schedule.final) * (1 + math.cos(math.pi * progress)) / 2
    if schedule.name == "exponential":
        return float(max(schedule.final, LEAST_FINAL) ** progress)
    if schedule.name == "step":
        return float(0.1 ** sum(progress >= drop for drop in DROPS))
    return 1.0


def build_schedule(optimiser: Optimizer, schedule: Schedule, steps: int) -> LRScheduler:
    """The schedule of an optimiser whose groups hold their peak rates.

    ``one_cycle`` (Smith and Topin 2019) rises along a cosine for the share ``warmup`` from a 25th of the peak
    and falls to next to nothing; Adam's first beta moves the other way, between 0.95 and 0.85.

    Args:
        optimiser: Its groups' rates are the peaks.
        schedule: The settings.
        steps: Optimiser steps of the whole training.
    """
    if schedule.name != "one_cycle":
        return LambdaLR(optimiser, lambda step: factor(schedule, step, max(steps, 1)))
    total = max(steps, 2)
    return OneCycleLR(
        optimiser,
        max_lr=[group["lr"] for group in optimiser.param_groups],
        total_steps=total,
        # With a rise of exactly one step the schedule would divide by zero.
        pct_start=max(schedule.warmup, 1.5 / total),
        # Momentum is a setting of the other optimisers; without any, cycling would bring it in.
        cycle_momentum="betas" in optimiser.defaults,
    )

"""A learning rate from a range test on the training split.

Smith 2017, "Cyclical learning rates for training neural networks", section 3.3: the rate grows from step to
step until the loss rises. Lightning's finder is not used: it gives every group of parameters the same rate,
draws its random numbers from whatever came before, and goes through a checkpoint of the fit.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice

import numpy as np
import torch
from torch import Tensor, nn

from scanlens.errors import SettingsError
from scanlens.scaling.device import Machine
from scanlens.training.datamodule import Batch, ScanBatches
from scanlens.training.optimisers import OPTIMISERS, parameter_groups
from scanlens.training.penalties import penalty
from scanlens.training.recipe import Recipe
from scanlens.training.sampling import EpochOrder
from scanlens.training.thaw import AT_THE_END, apply

LOWEST, HIGHEST, STEPS = 1e-6, 1.0, 100
MEMORY = 0.9
"""Of the smoothed loss, a step."""
DIVERGED = 4.0
"""The test ends where the smoothed loss is so many times its best."""
LEAST_FALL = 0.02
"""Share of the first loss by which it must fall for the test to say anything."""
BELOW = 10.0
"""The rate is so many times smaller than that of the least loss, where steps are about to be too long."""


def smoothed(losses: np.ndarray) -> np.ndarray:
    """Exponential moving average ``(step,)`` without the pull of its start (Kingma and Ba 2015)."""
    result, average = np.empty(len(losses)), 0.0
    for step, loss in enumerate(losses):
        average = MEMORY * average + (1 - MEMORY) * loss
        result[step] = average / (1 - MEMORY ** (step + 1))
    return result


def choose_rate(rates: np.ndarray, losses: np.ndarray) -> float:
    """A tenth of the rate at the least smoothed loss, to two digits.

    Args:
        rates: Growing, ``(step,)``.
        losses: Smoothed, ``(step,)``.

    Raises:
        SettingsError: Where the loss does not fall.
    """
    best = int(np.argmin(losses))
    if not losses[best] < losses[0] * (1 - LEAST_FALL):
        raise SettingsError(
            f"The range test found no learning rate: the training loss never falls by {LEAST_FALL:.0%}.",
            "Give a number, e.g. training.lr=0.001, or check labels and augmentation.",
        )
    return float(f"{rates[best] / BELOW:.1e}")


def find_rate(
    network: nn.Module,
    train: ScanBatches,
    recipe: Recipe,
    loss: Callable[[Tensor, Tensor], Tensor],
    machine: Machine,
) -> float:
    """The peak rate for a recipe whose ``lr`` is ``auto``.

    It is found with everything thawed that ever thaws, on a copy: the network, its batch norms and torch's
    random numbers are left as they were. The same network, scans and recipe give the same rate.

    Args:
        network: Its copy learns for a hundred steps.
        train: Scans of the training split; no others are looked at.
        recipe: The settings of the fit.
        loss: Of outputs and targets, as in the fit.
        machine: Device and precision; fp16 is tested in float32.

    Raises:
        SettingsError: Where the loss never falls.
    """
    cuda = [torch.cuda.current_device()] if machine.device == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(recipe.seed)
        rates = np.geomspace(LOWEST, HIGHEST, STEPS)
        losses = np.array(list(_losses(network, train, recipe, loss, machine, rates)))
    return choose_rate(rates[: len(losses)], smoothed(losses))


def _losses(
    network: nn.Module,
    train: ScanBatches,
    recipe: Recipe,
    loss: Callable[[Tensor, Tensor], Tensor],
    machine: Machine,
    rates: np.ndarray,
) -> Iterator[float]:
    """The loss before each step, until it runs away."""
    network = copy.deepcopy(network).to(machine.device).train()
    if isinstance(loss, nn.Module):
        loss = copy.deepcopy(loss).to(machine.device)
    backbone = getattr(network, "backbone", None)
    if isinstance(backbone, nn.Module):
        apply(backbone, recipe.thaw, AT_THE_END)
    groups = parameter_groups(network, replace(recipe, lr=1.0))
    shares = [group["lr"] for group in groups]
    optimiser = OPTIMISERS[recipe.optimiser.name](groups, recipe.optimiser)
    seen: list[float] = []
    for rate, batch in zip(rates, _batches(train, recipe), strict=True):
        for group, share in zip(optimiser.param_groups, shares, strict=True):
            group["lr"] = rate * share
        scans, targets = batch[0].to(machine.device), batch[1].to(machine.device)
        with torch.autocast(machine.device, torch.bfloat16, enabled=machine.precision == "bf16"):
            value = loss(network(scans).float(), targets) + penalty(network, recipe.penalties)
        seen.append(float(value.detach()))
        average = smoothed(np.array(seen))
        if not np.isfinite(seen[-1]) or average[-1] > DIVERGED * average.min():
            return
        yield seen[-1]
        optimiser.zero_grad()
        value.backward()
        if recipe.gradient_clip:
            nn.utils.clip_grad_norm_(network.parameters(), recipe.gradient_clip)
        optimiser.step()


def _batches(train: ScanBatches, recipe: Recipe) -> Iterator[Batch]:
    """As many batches as there are steps, in the fit's own order, however few scans there are."""
    size = min(recipe.batch_size, len(train))
    drawn = iter(EpochOrder(len(train), recipe.seed, shuffle=True, at_least=STEPS * size))
    for _ in range(STEPS):
        yield train.__getitems__(list(islice(drawn, size)))

"""What the machine did in an epoch: rates, speed, memory, how busy it was; for tracking, not for decisions.

Nothing here is part of a fit's result, so two equal fits may differ in it.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import psutil
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from scanlens.ranks import is_first

EVERY = 16
"""Steps between two measurements of the gradient: one costs about as much as a hundredth of a step."""
MIB = 1 << 20
FORECAST = (4, 20)
"""Batches between which a fit is timed to say how long it will take; the first ones are slower."""


def _gradient_norm(module: pl.LightningModule) -> Tensor:
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    return torch.nn.utils.get_total_norm(gradients, foreach=True) if gradients else torch.zeros(())


def _gpu() -> dict[str, float]:
    """Memory torch took at most, and how busy the GPU is, where the driver tells."""
    values = {"gpu_memory_mib": torch.cuda.max_memory_allocated() / MIB}
    torch.cuda.reset_peak_memory_stats()
    # Without nvidia-ml-py, or in a container that hides the driver, there is no such number.
    with suppress(ImportError, RuntimeError, AttributeError):
        values["gpu_utilisation"] = float(torch.cuda.utilization())
    return values


def forecast(epoch_s: float, epochs: int) -> str:
    """How long a fit will take on this machine, in words.

    Args:
        epoch_s: Seconds of an epoch, validation not counted.
        epochs: At most so many are left.

    Example:
        >>> forecast(12.0, 18)
        'about 4 minutes for at most 18 epochs on this machine (12.0 s each)'
    """
    minutes = max(1, round(epoch_s * epochs / 60))
    unit = "minute" if minutes == 1 else "minutes"
    return f"about {minutes} {unit} for at most {epochs} epochs on this machine ({epoch_s:.1f} s each)"


class Telemetry(Callback):
    """Measures an epoch.

    Args:
        scans: Scans of an epoch, over all processes.
        began: ``time.perf_counter()`` at the beginning of the fit.
    """

    def __init__(self, scans: int, began: float) -> None:
        self.scans = scans
        self.began = began
        self.first_batch_s = float("nan")
        self._norms: list[Tensor] = []
        self._process = psutil.Process()
        self._done = self._steps = 0
        self._timed_from = 0.0
        self._forecast = False

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start measuring; psutil counts from one call to the next."""
        self._norms, self._done, self._steps = [], 0, 0
        self._process.cpu_percent()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note when the first batch is done, and say early how long all will take."""
        self._done += 1
        if self.first_batch_s != self.first_batch_s:
            self.first_batch_s = time.perf_counter() - self.began
        if self._done == FORECAST[0]:
            self._timed_from = time.perf_counter()
        elif self._done == FORECAST[1] and not self._forecast and is_first():
            self._forecast = True
            batch_s = (time.perf_counter() - self._timed_from) / (FORECAST[1] - FORECAST[0])
            epochs = (trainer.max_epochs or 1) - trainer.current_epoch
            print(forecast(batch_s * float(trainer.num_training_batches), epochs), flush=True)

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Measure the gradient now and then, before it is clipped."""
        if self._steps % EVERY == 0:
            self._norms.append(_gradient_norm(pl_module))
        self._steps += 1

    def values(self, trainer: pl.Trainer, seconds: float) -> dict[str, float]:
        """Numbers of the epoch that ends.

        Args:
            trainer: Has the rates.
            seconds: How long it took, validation included.

        Returns:
            ``lr_<group>`` a parameter group, ``scans_per_second`` and ``epoch_seconds``, ``gradient_norm``
            (mean of its measurements), ``cpu_percent`` (of one core), ``ram_mib`` and, on a GPU,
            ``gpu_memory_mib`` (the most that torch took) and ``gpu_utilisation`` in percent.
        """
        groups = trainer.optimizers[0].param_groups
        rates = {f"lr_{group.get('name', number)}": float(group["lr"]) for number, group in enumerate(groups)}
        share = self._done / max(1, int(trainer.num_training_batches))
        return {
            **rates,
            "epoch_seconds": seconds,
            "scans_per_second": self.scans * share / max(seconds, 1e-9),
            **({"gradient_norm": float(torch.stack(self._norms).mean())} if self._norms else {}),
            "cpu_percent": self._process.cpu_percent(),
            "ram_mib": self._process.memory_info().rss / MIB,
            **(_gpu() if torch.cuda.is_available() and trainer.strategy.root_device.type == "cuda" else {}),
        }

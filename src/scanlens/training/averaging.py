"""Averages of the weights over the steps: they are what is validated, kept as the best and handed on.

Lightning's ``WeightAveraging`` exchanges the weights for the average during validation and stores the average
under ``state_dict`` of every checkpoint, the running weights beside it; so a resumed run goes on with both.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import chain
from typing import Any, cast

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, WeightAveraging
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from scanlens.config.schema import Averaging
from scanlens.training.datamodule import ScanBatches

NORM_SCANS = 1024
"""Training scans by which batch norms of a mean over epochs are measured anew."""


class _OnDevice(WeightAveraging):
    """Lightning's callback with the average beside the weights, not on the processor."""

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Copy the network before the first step."""
        self._device = trainer.strategy.root_device
        super().setup(trainer, pl_module, stage)


class MovingAverage(_OnDevice):
    """Exponential moving average of weights and batch-norm statistics, a step at a time.

    The decay of update n is at most (1 + n) / (10 + n) and the first update copies (Martin Abadi et al. 2016,
    TensorFlow's ``ExponentialMovingAverage``): however short the run, the initial weights are forgotten.

    Args:
        decay: What remains of the average at each step, in the long run.
    """

    def __init__(self, decay: float) -> None:
        super().__init__()
        self.decay = decay
        self._pairs: list[tuple[list[Tensor], list[Tensor]]] = []

    @torch.no_grad()
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Average after a step.

        Lightning's own way collects and groups the tensors anew each step, at a multiple of the cost.
        """
        if trainer.global_step <= self._latest_update_step:
            return
        average = self._average_model
        assert average is not None
        if not self._pairs:
            self._pairs = _pairs(average.module, pl_module)
        count = int(average.n_averaged)
        share = 1 - min(self.decay, (1 + count) / (10 + count))
        for averages, currents in self._pairs:
            if count and averages[0].is_floating_point():
                # Equal values stay equal bit for bit: frozen parts do not drift.
                torch._foreach_lerp_(averages, currents, share)
            else:
                torch._foreach_copy_(averages, currents)
        average.n_averaged += 1
        self._latest_update_step = trainer.global_step


def _pairs(average: nn.Module, learning: nn.Module) -> list[tuple[list[Tensor], list[Tensor]]]:
    """Parameters and buffers of two equal networks, by dtype."""
    groups: dict[torch.dtype, tuple[list[Tensor], list[Tensor]]] = {}
    tensors = [chain(network.parameters(), network.buffers()) for network in (average, learning)]
    for mine, other in zip(*tensors, strict=True):
        averages, currents = groups.setdefault(mine.dtype, ([], []))
        averages.append(mine)
        currents.append(other)
    return list(groups.values())


class MeanOfEpochs(_OnDevice):
    """Mean of the weights at the ends of the last epochs (SWA: Izmailov et al. 2018).

    Until ``start`` the average is the newest weights. Batch norms that learn are measured anew for the mean,
    on training scans, for it meets other activations than any of the weights that went into it.

    Args:
        start: First epoch (from 0) that goes into the mean.
    """

    def __init__(self, start: int) -> None:
        super().__init__()
        self.start = start
        self._ends = False

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """After the last step of an epoch, before it is validated."""
        return step_idx is not None and self._ends

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Average at the end of an epoch."""
        self._ends = trainer.is_last_batch
        average = self._average_model
        assert average is not None
        if self._ends and trainer.current_epoch <= self.start:
            # The next update copies.
            average.n_averaged.zero_()
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        if self._ends and trainer.current_epoch > self.start:
            scans = cast(ScanBatches, cast(Any, trainer.train_dataloader).dataset)
            batches = _sample(scans, trainer.current_epoch, len(batch[0]), pl_module.device)
            with trainer.precision_plugin.forward_context():
                measure_norms(
                    cast(nn.Module, average.module.network), cast(nn.Module, pl_module.network), batches
                )


def _sample(scans: ScanBatches, epoch: int, size: int, device: torch.device) -> Iterator[Tensor]:
    """Batches of training scans, the same for the same epoch wherever the run was interrupted."""
    rng = np.random.default_rng([epoch])
    order = rng.permutation(len(scans))[:NORM_SCANS]
    seeds = rng.integers(0, 2**31 - 1, len(order))
    for first in range(0, len(order) - len(order) % size or len(order), size):
        part = slice(first, first + size)
        drawn = list(zip(order[part].tolist(), seeds[part].tolist(), strict=True))
        yield scans.__getitems__(drawn)[0].to(device)


@torch.no_grad()
def measure_norms(average: nn.Module, learning: nn.Module, batches: Iterator[Tensor]) -> None:
    """Set the running statistics of batch norms to the mean over batches, all else in evaluation mode.

    Args:
        average: Changed in place; left in evaluation mode.
        learning: The network it is the average of: only norms that are in training mode there are measured.
        batches: Standardised scans.
    """
    pairs = zip(average.modules(), learning.modules(), strict=True)
    norms = [norm for norm, twin in pairs if isinstance(norm, _BatchNorm) and twin.training]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    average.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    for batch in batches:
        average(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()


def averaging_callbacks(averaging: Averaging, epochs: int) -> list[Callback]:
    """The callback of a method; none for ``none``.

    Args:
        averaging: The settings; ``swa`` averages the epochs behind the share ``start``, at least the last.
        epochs: Of the whole training.
    """
    if averaging.method == "ema":
        return [MovingAverage(averaging.decay)]
    if averaging.method == "swa":
        return [MeanOfEpochs(min(math.floor(averaging.start * epochs), epochs - 1))]
    return []

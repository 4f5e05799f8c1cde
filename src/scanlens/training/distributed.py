"""Several processes that train one network: who takes which scans, and how they come together.

A step's batch is the same set of scans for any number of processes: each takes its share of it. Gradients are
averaged over the shares (Li et al. 2020, "PyTorch Distributed", VLDB), so a network without batch norm learns
what one process would teach it. Batch norm normalises by the share; see docs/training.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch
import torch.distributed as dist
from pytorch_lightning.plugins.environments import (
    ClusterEnvironment,
    LightningEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)
from pytorch_lightning.strategies import DDPStrategy, SingleDeviceStrategy, Strategy
from torch import Tensor

from scanlens.errors import SettingsError
from scanlens.ranks import by_slurm, by_torchrun
from scanlens.scaling.device import Machine
from scanlens.training.losses import ScanLoss

Draw = tuple[int, int]
"""A scan's position and the seed of its changes."""


class Order(Protocol):
    """Draws of an epoch, the same for the same epoch."""

    epoch: int

    def __iter__(self) -> Iterator[Draw]: ...

    def __len__(self) -> int: ...


def group() -> tuple[int, int]:
    """Rank of this process and their number; (0, 1) outside of a group."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def barrier() -> None:
    """Wait for the other processes."""
    if group()[1] > 1:
        dist.barrier()


class BatchShares:
    """This process's share of every batch, a part of it at a time.

    A batch of ``size`` scans is dealt like cards to ``micro`` parts of every process; the gradients of the
    parts are summed before the step. The last batch of an epoch is left out unless it is full or the only
    one: one of a single scan has no batch statistics to normalise by.

    Args:
        order: Draws of an epoch.
        size: Scans a step, over all processes.
        micro: Parts a batch is worked on in, where it does not fit into memory as a whole.

    Raises:
        SettingsError: Where a batch has fewer scans than there are parts.
    """

    def __init__(self, order: Order, size: int, micro: int = 1) -> None:
        self.sampler = order
        self.size = min(size, len(order))
        self.micro = micro
        self.rank, self.world = group()
        if self.size < self.parts:
            raise SettingsError(
                f"A batch of {self.size} scans can't be shared by {self.parts} processes.",
                "Raise training.batch_size or lower runtime.devices.",
            )

    @property
    def parts(self) -> int:
        """Parts of a batch over all processes."""
        return self.micro * self.world

    def __len__(self) -> int:
        """Parts of an epoch."""
        return len(self.sampler) // self.size * self.micro

    def __iter__(self) -> Iterator[list[Draw]]:
        draws = list(self.sampler)
        for number in range(len(self)):
            batch, part = divmod(number, self.micro)
            whole = draws[batch * self.size : (batch + 1) * self.size]
            yield whole[self.rank + self.world * part :: self.parts]


class RowShares:
    """This process's run of rows in batches, for validation; no row is seen twice.

    Args:
        order: All rows.
        size: Scans of a batch.
    """

    def __init__(self, order: Order, size: int) -> None:
        self.sampler = order
        self.size = size
        rank, world = group()
        if len(order) < world:
            raise SettingsError(
                f"{len(order)} validation scans can't be shared by {world} processes.",
                "Lower runtime.devices.",
            )
        self.first, self.last = len(order) * rank // world, len(order) * (rank + 1) // world

    def __len__(self) -> int:
        return -(-(self.last - self.first) // self.size)

    def __iter__(self) -> Iterator[list[Draw]]:
        rows = list(self.sampler)[self.first : self.last]
        for start in range(0, len(rows), self.size):
            yield rows[start : start + self.size]


class PartLoss(ScanLoss):
    """A loss whose mean over the parts of a batch is its mean over the batch, also of parts of two lengths.

    Args:
        loss: A mean over the scans it is given.
        size: Scans of a batch.
        parts: Parts of a batch.
    """

    def __init__(self, loss: ScanLoss, size: int, parts: int) -> None:
        super().__init__()
        self.loss = loss
        self.share = parts / size

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The part's loss times its share of the scans."""
        loss: Tensor = self.loss(outputs, targets) * (len(targets) * self.share)
        return loss

    def plain(self) -> ScanLoss:
        """What validation reports is of no batch."""
        return self.loss.plain()


def gather_rows(rows: Tensor) -> Tensor:
    """The rows of all processes, in the order of their ranks; each may hold another number of them."""
    _, world = group()
    if world == 1:
        return rows
    counts = [torch.zeros(1, dtype=torch.int64, device=rows.device) for _ in range(world)]
    dist.all_gather(counts, torch.tensor([len(rows)], device=rows.device))
    longest = int(max(counts))
    padded = torch.zeros((longest, *rows.shape[1:]), dtype=rows.dtype, device=rows.device)
    padded[: len(rows)] = rows
    parts = [torch.empty_like(padded) for _ in range(world)]
    dist.all_gather(parts, padded)
    return torch.cat([part[: int(count)] for part, count in zip(parts, counts, strict=True)])


def mean_over_processes(value: Tensor) -> Tensor:
    """The mean of a number over the processes."""
    _, world = group()
    if world > 1:
        dist.all_reduce(value)
    return value / world


def environment() -> ClusterEnvironment:
    """Who started the processes; where nobody did, Lightning starts those beside this one itself.

    Asked for by name: Lightning would take a batch script's shell on SLURM for one of its tasks, and wait.
    """
    if by_torchrun():
        return TorchElasticEnvironment()
    if by_slurm():
        return SLURMEnvironment(auto_requeue=False)
    return LightningEnvironment()


def strategy(machine: Machine, changing: bool) -> Strategy:
    """One process, or gradients averaged over several.

    Args:
        machine: Devices and nodes.
        changing: Whether parameters are frozen or thawed on the way; those that take no part in a step must
            then be looked for in each.
    """
    gpu = machine.device == "cuda"
    if machine.devices * machine.nodes == 1:
        return SingleDeviceStrategy("cuda:0" if gpu else "cpu")
    return DDPStrategy(
        process_group_backend="nccl" if gpu else "gloo",
        find_unused_parameters=changing,
        gradient_as_bucket_view=True,
    )

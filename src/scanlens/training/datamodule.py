"""Batches of stored scans for Lightning.

A batch is read, changed and standardised some scans at a time, while they are in the processor's cache, into
the memory that is handed over: no per-sample objects, no collation. The order draws positions and a seed a
scan; the data set applies them.
"""

from __future__ import annotations

import math
import os
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset

from scanlens.augmentation.policy import BatchPolicy
from scanlens.preprocess.intensity import standardise
from scanlens.preprocess.store import Store
from scanlens.training.distributed import BatchShares, RowShares
from scanlens.training.sampling import BalancedOrder, EpochOrder
from scanlens.types import FloatArray


class Batch(NamedTuple):
    """What a step works on.

    Attributes:
        scans: Standardised, ``(batch, channel, *spatial)``, images with channels last in memory; or features
            ``(batch, feature)`` of a frozen backbone.
        targets: Class indices (int64) or numbers (float32), ``(batch,)``.
    """

    scans: torch.Tensor
    targets: torch.Tensor


@dataclass(frozen=True)
class Part:
    """Some rows of one store."""

    store: Store
    rows: np.ndarray


NUMBERS_AT_A_TIME = 2**16
"""Numbers of a batch that are prepared at a time, about: many more would leave the processor's cache."""


def empty_input(shape: tuple[int, ...]) -> FloatArray:
    """Room for network input ``(batch, channel, *spatial)``; images of several channels lie channels last."""
    if len(shape) == 4 and shape[1] > 1:
        batch, channels, height, width = shape
        return np.empty((batch, height, width, channels), np.float32).transpose(0, 3, 1, 2)
    return np.empty(shape, np.float32)


class ScanBatches(Dataset[Batch]):
    """Stored scans as standardised batches.

    Args:
        parts: Stores of one shape and their rows; positions count through them in order.
        statistics: Mean and standard deviation a channel, from the training split.
        policy: Random changes, or None for the scans as they are.

    Attributes:
        targets: Class indices or numbers of all positions.
        ahead: Whether a batch is work enough to be prepared while the network works on another.
        patients: Patients of all positions; "" where a scan has none.
    """

    ahead = True

    def __init__(self, parts: Sequence[Part], statistics: dict[str, Any], policy: BatchPolicy | None) -> None:
        self.parts = [part for part in parts if len(part.rows)]
        self.statistics = statistics
        self.policy = policy
        self.part_of = np.repeat(np.arange(len(self.parts)), [len(part.rows) for part in self.parts])
        self.row_of = np.concatenate([part.rows for part in self.parts] or [np.zeros(0, int)])
        targets = np.concatenate([p.store.targets(p.rows) for p in self.parts] or [np.zeros(0, int)])
        self.targets = targets if np.issubdtype(targets.dtype, np.integer) else targets.astype(np.float32)
        indices = [part.store.index.iloc[part.rows] for part in self.parts]
        self.patients = np.concatenate(
            [index["patient"].to_numpy(str) for index in indices] or [np.zeros(0, str)]
        )

    def __len__(self) -> int:
        return len(self.row_of)

    def _read(self, positions: np.ndarray) -> FloatArray:
        if len(self.parts) == 1:
            return self.parts[0].store.read(self.row_of[positions])
        scans = np.empty((len(positions), *self.parts[0].store.shape), np.float32)
        for number, part in enumerate(self.parts):
            chosen = self.part_of[positions] == number
            if chosen.any():
                scans[chosen] = part.store.read(self.row_of[positions[chosen]])
        return scans

    def _prepare(self, positions: np.ndarray, seeds: Sequence[int], into: FloatArray) -> None:
        scans = self._read(positions)
        if self.policy is not None:
            self.policy.apply_batch(scans, seeds, out=scans)
        into[...] = standardise(scans, self.statistics)

    def __getitems__(self, drawn: Sequence[tuple[int, int]]) -> Batch:
        """The batch at ``(position, seed)`` pairs, as ``DataLoader`` asks for it."""
        positions = np.array([position for position, _ in drawn], np.int64)
        seeds = [seed for _, seed in drawn]
        made = empty_input((len(drawn), *self.parts[0].store.shape))
        size = max(1, NUMBERS_AT_A_TIME // math.prod(made.shape[1:]))
        shares = [slice(first, first + size) for first in range(0, len(drawn), size)]
        for share in shares:
            self._prepare(positions[share], seeds[share], made[share])
        return Batch(torch.from_numpy(made), torch.from_numpy(self.targets[positions]))


def _as_is(batch: Any) -> Any:
    return batch


PATIENCE = 10
"""Niceness of the thread that prepares batches."""


def _step_back() -> None:
    """Let the arithmetic's threads go first: when one of them waits for a core, so do all the others.

    On Linux alone a thread has a priority of its own.
    """
    if sys.platform == "linux":
        # Nice, not idle: on a machine that others use an idle thread may keep the network waiting for long.
        thread = threading.get_native_id()
        # Only root may lower what the whole process was given.
        os.setpriority(os.PRIO_PROCESS, thread, max(PATIENCE, os.getpriority(os.PRIO_PROCESS, thread)))


class PreparedAhead(DataLoader[Batch]):
    """A loader that prepares the next batch in a thread while the network works on this one.

    The thread takes what the arithmetic leaves of the cores. A process would have to be forked under torch's
    threads. Order and content of the batches are those of a plain loader.
    """

    def __iter__(self) -> Any:
        """Batches in the loader's own order."""
        batches = super().__iter__()
        with ThreadPoolExecutor(1, "batches", _step_back) as thread:
            coming = thread.submit(next, batches, None)
            while (batch := coming.result()) is not None:
                coming = thread.submit(next, batches, None)
                yield batch


class ScanData(pl.LightningDataModule):
    """Training and validation batches.

    Args:
        train: What is learnt from.
        val: What early stopping watches.
        batch_size: Scans a step.
        seed: Of order and changes.
        epoch_scans: Scans an epoch draws at least.
        workers: Processes that prepare batches; 0 prepares them between steps.
        micro: Parts a batch is worked on in.
        sampling: ``plain``, or ``balanced`` by class.
    """

    def __init__(
        self,
        train: ScanBatches,
        val: ScanBatches,
        batch_size: int,
        seed: int,
        epoch_scans: int,
        workers: int = 0,
        micro: int = 1,
        sampling: str = "plain",
    ) -> None:
        super().__init__()
        self.train_batches = train
        self.val_batches = val
        self.batch_size = batch_size
        self.seed = seed
        self.epoch_scans = epoch_scans
        self.workers = workers
        self.micro = micro
        self.sampling = sampling

    def _order(self, batches: ScanBatches, shuffle: bool) -> EpochOrder:
        if shuffle and self.sampling == "balanced":
            return BalancedOrder(batches.targets, batches.patients, self.seed, self.epoch_scans)
        return EpochOrder(len(batches), self.seed, shuffle, self.epoch_scans if shuffle else 0)

    @property
    def drawn(self) -> int:
        """Scans an epoch draws, over all processes."""
        return len(self._order(self.train_batches, True))

    def _loader(self, batches: ScanBatches, shuffle: bool) -> DataLoader[Batch]:
        order = self._order(batches, shuffle)
        shares = (
            BatchShares(order, self.batch_size, self.micro) if shuffle else RowShares(order, self.batch_size)
        )
        kind = PreparedAhead if self.workers == 0 and batches.ahead else DataLoader
        return kind(
            batches,
            batch_sampler=shares,
            collate_fn=_as_is,
            num_workers=self.workers,
            # Without its own a loader draws from the network's generator, in a resumed run at another moment.
            generator=torch.Generator().manual_seed(self.seed),
            persistent_workers=self.workers > 0,
            # A fork would copy torch's threads in whatever state they are in.
            multiprocessing_context="forkserver" if self.workers else None,
            pin_memory=torch.cuda.is_available(),
        )

    def train_dataloader(self) -> DataLoader[Batch]:
        """Shuffled, changed anew each epoch."""
        return self._loader(self.train_batches, shuffle=True)

    def val_dataloader(self) -> DataLoader[Batch]:
        """In order, unchanged."""
        return self._loader(self.val_batches, shuffle=False)


def least_draws(epoch_scans: int, dims: int) -> int:
    """Scans an epoch draws at least: as set for images, an eighth of it for volumes.

    A volume shows many slices of an organ at once, and costs as much as many images.
    """
    return epoch_scans if dims == 2 else epoch_scans // 8


def loader_workers(device: str) -> int:
    """Processes that prepare training batches.

    On a processor every core computes already and a thread suffices; a GPU is fed by processes.
    """
    return min(4, max(1, (os.cpu_count() or 1) // 2)) if device == "cuda" else 0

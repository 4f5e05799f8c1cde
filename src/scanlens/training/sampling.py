"""Which scans an epoch draws, in which order: a function of seed and epoch alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from torch.utils.data import Sampler


class EpochOrder(Sampler[tuple[int, int]]):
    """A fresh order and fresh seeds every epoch, the same for the same ``(seed, epoch)``.

    Args:
        count: Number of scans.
        seed: Of the run.
        shuffle: False gives the plain order, as validation wants it.
        at_least: Few scans are passed through several times an epoch, until so many were drawn.
    """

    def __init__(self, count: int, seed: int, shuffle: bool, at_least: int = 0) -> None:
        self.count = count
        self.passes = max(1, -(-at_least // max(count, 1)))
        self.seed = seed
        self.shuffle = shuffle
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Draws an epoch."""
        return self.count * self.passes

    def _positions(self, rng: np.random.Generator) -> np.ndarray:
        passes = [
            rng.permutation(self.count) if self.shuffle else np.arange(self.count) for _ in range(self.passes)
        ]
        return np.concatenate(passes)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Pairs of a scan's position and the seed of its changes."""
        rng = np.random.default_rng([self.seed, self.epoch])
        order = self._positions(rng)
        seeds = rng.integers(0, 2**31 - 1, len(order))
        return zip(order.tolist(), seeds.tolist(), strict=True)


class BalancedOrder(EpochOrder):
    """Every class is drawn equally often, and within a class every patient, to one draw.

    A patient with many scans does not teach more than one with a single scan: patients of a class take
    turns, each with another of its scans.

    Args:
        targets: Class index of every scan.
        patients: Patient of every scan; scans without one ("") are patients of their own.
        seed: Of the run.
        at_least: Draws an epoch at least; never less than there are scans.
    """

    def __init__(self, targets: np.ndarray, patients: np.ndarray, seed: int, at_least: int = 0) -> None:
        super().__init__(len(targets), seed, True, at_least)
        named = np.where(patients == "", [f"\0{place}" for place in range(len(patients))], patients)
        codes, _ = pd.factorize(named)
        self._classes = []
        for label in np.unique(targets):
            members = np.flatnonzero(targets == label)
            _, starts, counts = _runs(codes[members])
            self._classes.append((members[np.argsort(codes[members], kind="stable")], starts, counts))
        self.each = -(-max(self.count, at_least) // max(len(self._classes), 1))

    def __len__(self) -> int:
        """Draws an epoch."""
        return self.each * len(self._classes)

    def _positions(self, rng: np.random.Generator) -> np.ndarray:
        drawn = []
        for members, starts, counts in self._classes:
            # Another first scan each epoch; from it on, the patient's scans in turn.
            offsets = rng.integers(0, counts)
            rounds = -(-self.each // len(counts))
            turns = [
                members[starts[turn] + (offsets[turn] + number) % counts[turn]]
                for number in range(rounds)
                for turn in (rng.permutation(len(counts)),)
            ]
            drawn.append(np.concatenate(turns)[: self.each])
        return rng.permutation(np.concatenate(drawn))


def _runs(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distinct codes, and where each begins and how long it is once they are sorted."""
    distinct, counts = np.unique(codes, return_counts=True)
    return distinct, np.cumsum(counts) - counts, counts

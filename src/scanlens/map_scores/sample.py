"""The scans that are scored: all, or of every class its share."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from torch import Tensor

from scanlens.errors import SettingsError
from scanlens.models.predict import to_input
from scanlens.types import IntArray

if TYPE_CHECKING:
    from scanlens.preprocess.store import Store
    from scanlens.types import ImageArray

MaskReader = Callable[[str], "npt.NDArray[np.bool_] | None"]


def stratified(labels: Sequence[str] | npt.NDArray[np.object_], most: int, seed: int) -> IntArray:
    """Positions of at most ``most`` scans, ascending; every class keeps its share to one scan.

    Args:
        labels: Of each scan.
        most: Number of scans wanted.
        seed: Same seed, same sample; a smaller sample is part of a larger one.
    """
    names = np.asarray(labels, dtype=str)
    if len(names) <= most:
        return np.arange(len(names))
    generator = np.random.default_rng(seed)
    turn = np.empty(len(names))
    for label in np.unique(names):
        own = np.flatnonzero(names == label)
        turn[generator.permutation(own)] = (np.arange(len(own)) + 0.5) / len(own)
    return np.sort(np.argsort(turn, kind="stable")[:most])


class SampleBatch(NamedTuple):
    """Some scans of the sample.

    Attributes:
        indices: Which of the sample, ``(n,)``.
        scans: In [0, 1], ``(n, channel, *spatial)``.
        inputs: The same as the network takes them.
    """

    indices: IntArray
    scans: ImageArray
    inputs: Tensor


class Sample:
    """Scans, what is known of them, and their masks; nothing but masks stays in memory.

    Args:
        store: The preprocessed scans.
        rows: Store rows to score.
        predictions: Columns scan_id, patient, label, predicted for all of them.
        statistics: The network's input is standardised with.
        masks: From a scan_id to its lesion mask ``(*spatial)`` or None.
        batch_size: Scans at a time.
        device: ``cpu`` or ``cuda``.
        seed: Of :meth:`generator`.

    Attributes:
        scan_ids: Of each scan.
        labels: Class names, in the network's order.
        targets: Class of each scan.
        predicted: Class that the network says.
        patients: Of each scan.
        size: ``(*spatial)``.

    Raises:
        SettingsError: The predictions lack a scan, or name another class.
    """

    def __init__(
        self,
        store: Store,
        rows: npt.NDArray[np.integer],
        predictions: pd.DataFrame,
        statistics: dict[str, Any],
        masks: MaskReader,
        *,
        batch_size: int,
        device: str,
        seed: int,
    ) -> None:
        self._store, self._rows, self._statistics = store, rows, statistics
        self._batch_size, self._device, self._seed = batch_size, device, seed
        self._read_mask = masks
        self._masks: dict[int, npt.NDArray[np.uint8] | None] = {}
        index = store.index.iloc[rows]
        self.scan_ids = index["scan_id"].astype(str).tolist()
        table = predictions.drop_duplicates("scan_id").set_index("scan_id")
        missing = [scan_id for scan_id in self.scan_ids if scan_id not in table.index]
        if missing:
            raise SettingsError(
                f"The predictions lack {len(missing)} of {len(rows)} scans to score, first {missing[0]}.",
                "Run the evaluation stage on this store.",
            )
        table = table.loc[self.scan_ids]
        strange = sorted(set(table["predicted"]) - set(store.labels))
        if strange:
            raise SettingsError(
                f"The predictions name classes {strange}, the store has {store.labels}.",
                "Run the evaluation stage on this store.",
            )
        self.labels = list(store.labels)
        self.targets: IntArray = np.asarray(store.targets(rows), dtype=np.int64)
        self.predicted: IntArray = np.array([self.labels.index(name) for name in table["predicted"]])
        self.patients = table["patient"].to_numpy(dtype=str)
        self.size = tuple(store.shape[1:])
        self.channels = store.shape[0]

    def __len__(self) -> int:
        """Number of scans."""
        return len(self._rows)

    def batches(self, indices: IntArray | None = None) -> Iterator[SampleBatch]:
        """All scans, or those at some indices, batch by batch."""
        for own in self.chunks(indices):
            scans = self._store.read(self._rows[own])
            yield SampleBatch(own, scans, self.to_input(scans))

    def chunks(self, indices: IntArray | None = None) -> list[IntArray]:
        """The indices of each batch."""
        chosen = np.arange(len(self)) if indices is None else indices
        return [chosen[at : at + self._batch_size] for at in range(0, len(chosen), self._batch_size)]

    def scan(self, index: int) -> ImageArray:
        """One scan in [0, 1], ``(channel, *spatial)``."""
        image: ImageArray = self._store.read(self._rows[[index]])[0]
        return image

    def to_input(self, scans: ImageArray) -> Tensor:
        """Scans in [0, 1] as the network takes them."""
        return to_input(scans, self._statistics, self._device)

    def mask(self, index: int) -> npt.NDArray[np.bool_] | None:
        """The lesion mask of a scan, read once and kept at a bit a pixel."""
        if index not in self._masks:
            mask = self._read_mask(self.scan_ids[index])
            if mask is not None and mask.shape != self.size:
                raise SettingsError(
                    f"A lesion mask has shape {mask.shape}, its scan has {self.size}.",
                    "Put the masks through the preprocessor of the scans.",
                )
            self._masks[index] = None if mask is None else np.packbits(mask)
        packed = self._masks[index]
        if packed is None:
            return None
        pixels = int(np.prod(self.size))
        return np.unpackbits(packed, count=pixels).astype(bool).reshape(self.size)

    def generator(self, index: int, purpose: int) -> np.random.Generator:
        """Random numbers of one scan: the same whatever other scans there are and in whatever order.

        Args:
            index: Of the scan.
            purpose: Another number gives other random numbers.
        """
        return np.random.default_rng([self._seed, purpose, zlib.crc32(self.scan_ids[index].encode())])

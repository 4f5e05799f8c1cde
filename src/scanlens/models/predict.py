"""Logits of stored scans: full precision, no augmentation, the same for every batch size to rounding."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from scanlens.models.ensemble import Network
from scanlens.preprocess.intensity import standardise

if TYPE_CHECKING:
    from scanlens.preprocess.store import Store
    from scanlens.types import FloatArray


def to_input(scans: FloatArray, statistics: dict[str, object], device: str) -> torch.Tensor:
    """Standardised network input ``(batch, channel, *spatial)`` from scans in [0, 1]."""
    tensor = torch.from_numpy(np.ascontiguousarray(standardise(scans, statistics))).to(device)
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor


class Local(NamedTuple):
    """What a network says of some scans, as a whole and cell by cell.

    Attributes:
        rows: Their rows in the store.
        logits: ``(n, class)``.
        local: Logits each cell argues for, ``(n, class, *grid)``.
        rest: For a linear head logits no cell argues for, ``(n, class)``.
        cams: Grad-CAM before its positive part is kept, ``(n, class, *grid)``.
    """

    rows: np.ndarray
    logits: FloatArray
    local: FloatArray
    rest: FloatArray
    cams: FloatArray


def local_logits(
    network: Network,
    store: Store,
    rows: np.ndarray,
    statistics: dict[str, object],
    batch_size: int,
    device: str,
) -> Iterator[Local]:
    """Yield logits of the whole and of every cell, batch by batch.

    Args:
        network: Moved to ``device`` and set to evaluation.
        store: Preprocessed scans.
        rows: Row numbers in the store.
        statistics: Training-split statistics the network was trained with.
        batch_size: Scans a forward pass.
        device: ``cpu`` or ``cuda``.
    """
    # TF32 would change probabilities in the fourth digit between machines.
    torch.backends.cudnn.allow_tf32 = False
    network = network.to(device).eval()
    if len(store.shape) == 3:
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with tqdm(total=len(rows), desc="predict", unit="scan") as progress, torch.inference_mode():
        for start in range(0, len(rows), batch_size):
            chosen = rows[start : start + batch_size]
            scans = to_input(store.read(chosen), statistics, device)
            evidence = network.explain(scans)
            yield Local(chosen, *(part.float().cpu().numpy() for part in evidence))
            progress.update(len(chosen))


def predict(
    network: Network,
    store: Store,
    rows: np.ndarray,
    statistics: dict[str, object],
    batch_size: int,
    device: str,
) -> FloatArray:
    """Logits ``(n, class)``, as :func:`local_logits` gives them."""
    batches = [batch.logits for batch in local_logits(network, store, rows, statistics, batch_size, device)]
    return np.concatenate(batches) if batches else np.zeros((0, len(store.labels)))

"""Logits of scans by networks that never learnt from them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scanlens.models.ensemble import Ensemble, Network
from scanlens.models.predict import predict
from scanlens.models.saved import judges

if TYPE_CHECKING:
    from scanlens.preprocess.store import Store
    from scanlens.types import FloatArray

ALL = -1
"""In place of a member's number: the whole network judged."""


@dataclass(frozen=True)
class HeldOut:
    """Logits, and of what.

    Attributes:
        index: Rows of the store's index. With several members every training and validation scan has split
            ``val``: to the member that judged it, it was.
        logits: ``(scan, class)``.
        members: ``(scan,)`` who judged; :data:`ALL` for the whole network.
    """

    index: pd.DataFrame
    logits: FloatArray
    members: np.ndarray


def held_out_logits(
    network: Network, folder: Path, store: Store, statistics: dict[str, Any], batch_size: int, device: str
) -> HeldOut:
    """Validation and test logits.

    Test scans are judged by the whole network. So are validation scans where it is one network; of several
    members each scan outside the test split is judged by the one that validated on it ("out of fold").

    Args:
        network: As loaded.
        folder: It was loaded from.
        store: Preprocessed scans.
        statistics: Of the network's description.
        batch_size: Scans a forward pass.
        device: ``cpu`` or ``cuda``.
    """

    def judge(judging: Network, rows: np.ndarray) -> FloatArray:
        return predict(judging, store, rows, statistics, batch_size, device)

    test = store.rows("test")
    if not isinstance(network, Ensemble):
        rows = np.concatenate([store.rows("val"), test])
        return HeldOut(store.index.iloc[rows], judge(network, rows), np.full(len(rows), ALL))
    judged_by = judges(folder).reindex(store.index["scan_id"]).fillna(ALL).to_numpy(dtype=int)
    parts = [np.flatnonzero(judged_by == number) for number in range(len(network.members))]
    logits = [judge(member, rows) for member, rows in zip(network.networks(), parts, strict=True)]
    rows = np.concatenate([*parts, test])
    index = store.index.iloc[rows].copy()
    index.loc[index["split"] == "train", "split"] = "val"
    return HeldOut(index, np.concatenate([*logits, judge(network, test)]), judged_by[rows])

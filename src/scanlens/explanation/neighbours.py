"""The training scans that a network sees as most alike: the nearest in its pooled features.

What a network calls a scan by is best judged beside the scans it learnt that from; a scan that is far from
all of them is unlike anything it was trained on. Distances are cosine distances of the pooled features
(Papernot and McDaniel 2018, "Deep k-nearest neighbors", judge by the same neighbours). Training features are
streamed past the queries, so memory holds the queries and one batch, whatever the number of scans.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from scanlens.errors import ScanlensError
from scanlens.types import FloatArray

if TYPE_CHECKING:
    from scanlens.models.ensemble import Network
    from scanlens.preprocess.store import Store

NEIGHBOURS = 3
"""Training scans that are shown of each scan."""


@dataclass(frozen=True)
class Neighbour:
    """A training scan near a scan.

    Attributes:
        row: Its row in the store.
        distance: Cosine distance of the pooled features, in [0, 2].
    """

    row: int
    distance: float


def nearest_training(
    network: Network,
    store: Store,
    rows: npt.NDArray[np.integer],
    statistics: dict[str, object],
    batch_size: int,
    device: str,
    count: int = NEIGHBOURS,
) -> dict[int, list[Neighbour]]:
    """Find the nearest rows of the training split for some rows of a store.

    Splits share no patient, so no neighbour is another scan of a test patient.

    Args:
        network: Moved to ``device`` and set to evaluation.
        store: Preprocessed scans.
        rows: Rows to find neighbours of; their features are kept in memory.
        statistics: Training-split statistics the network was trained with.
        batch_size: Scans a forward pass.
        device: ``cpu`` or ``cuda``.
        count: Neighbours of each; fewer where the training split is smaller.

    Returns:
        From each row to its neighbours, nearest first.

    Raises:
        ScanlensError: Features are not finite.
    """
    if not len(rows) or not count:
        return {int(row): [] for row in rows}

    def features(chosen: npt.NDArray[np.integer]) -> Iterator[tuple[npt.NDArray[np.integer], FloatArray]]:
        return pooled_features(network, store, chosen, statistics, batch_size, device)

    queries = np.concatenate([values for _, values in features(rows)])
    found = nearest(queries, features(store.rows("train")), count)
    return {int(row): own for row, own in zip(rows, found, strict=True)}


def pooled_features(
    network: Network,
    store: Store,
    rows: npt.NDArray[np.integer],
    statistics: dict[str, object],
    batch_size: int,
    device: str,
) -> Iterator[tuple[npt.NDArray[np.integer], FloatArray]]:
    """Yield rows and their feature maps' means over cells, ``(n, feature)`` float32, batch by batch.

    Of an ensemble the members' features, each of length one, stand side by side: the cosine of two scans is
    then the mean of the members' cosines.
    """
    import torch

    from scanlens.models.ensemble import Ensemble
    from scanlens.models.predict import to_input

    members = network.networks() if isinstance(network, Ensemble) else [network]
    network.to(device).eval()
    for start in range(0, len(rows), batch_size):
        chosen = rows[start : start + batch_size]
        with torch.inference_mode():
            scans = to_input(store.read(chosen), statistics, device)
            means = [member.features(scans).float().flatten(2).mean(2) for member in members]
            together = torch.cat([torch.nn.functional.normalize(mean) for mean in means], dim=1)
        yield chosen, together.cpu().numpy()


def nearest(
    queries: FloatArray, batches: Iterable[tuple[npt.NDArray[np.integer], FloatArray]], count: int
) -> list[list[Neighbour]]:
    """The rows of ``batches`` nearest to each query by cosine distance; equal ones by their row.

    Args:
        queries: ``(query, feature)``.
        batches: Rows, and features ``(n, feature)`` of each.
        count: Neighbours of each query, at least 1.

    Returns:
        For each query at most ``count`` neighbours, nearest first.

    Raises:
        ScanlensError: A feature is not finite.
    """
    wanted = _unit(queries)
    rows = np.zeros((len(wanted), 0), np.int64)
    distances = np.zeros((len(wanted), 0), np.float32)
    for own_rows, features in batches:
        own = np.clip(1 - wanted @ _unit(features).T, 0, 2)
        rows = np.concatenate([rows, np.broadcast_to(own_rows, own.shape)], axis=1)
        distances = np.concatenate([distances, own], axis=1)
        order = np.lexsort((rows, distances), axis=1)[:, :count]
        rows = np.take_along_axis(rows, order, axis=1)
        distances = np.take_along_axis(distances, order, axis=1)
    return [
        [Neighbour(int(row), float(distance)) for row, distance in zip(*pair, strict=True)]
        for pair in zip(rows, distances, strict=True)
    ]


def _unit(features: FloatArray) -> npt.NDArray[np.float32]:
    """Rows of length one; a row of zeros stays and has distance 1 to all."""
    values = np.asarray(features, np.float32)
    if not np.isfinite(values).all():
        raise ScanlensError(
            "The network's features hold values that are not finite, so no scan is near another.",
            "Train again with a lower training.lr or a smaller training.gradient_clip.",
        )
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    return np.asarray(values / np.where(lengths > 0, lengths, 1), np.float32)

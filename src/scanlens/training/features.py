"""Features of a frozen backbone, computed once and kept: every later epoch learns the head from them.

A scan that is changed anew each epoch has no features to keep. So a frozen backbone sees ``transfer.views``
changed views of every training scan, the same in every epoch, with the cache and without. Validation scans
are not changed and have one view.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from scanlens.augmentation.policy import BatchPolicy
from scanlens.config.schema import Augmentation, Transfer
from scanlens.models.architecture import Architecture
from scanlens.models.classifier import Classifier
from scanlens.scaling.device import Machine
from scanlens.training.datamodule import Batch, ScanBatches
from scanlens.training.feature_files import FEATURES, compute, feature_key, prune_features
from scanlens.training.recipe import Recipe

MOST_FEATURE_BYTES = 8 << 30
"""Features of one set of scans beyond which the backbone runs each epoch instead; flattened ones reach it."""


class LimitedViews(ScanBatches):
    """Scans that are seen in a fixed number of changed views.

    Args:
        scans: What is drawn from.
        views: Number of views of a scan.
    """

    def __init__(self, scans: ScanBatches, views: int) -> None:
        self.__dict__.update(scans.__dict__)
        self.views = views

    def __getitems__(self, drawn: Sequence[tuple[int, int]]) -> Batch:
        """The batch at ``(position, seed)`` pairs; the seed chooses the view."""
        # Every scan has seeds of its own: the same change of all scans would be no variety.
        chosen = [(position, position * self.views + seed % self.views) for position, seed in drawn]
        return super().__getitems__(chosen)


class FeatureBatches(ScanBatches):
    """Kept features instead of scans: batches of ``(batch, feature)``.

    Args:
        scans: What the features are of.
        shards: Feature arrays; rows count through them in order, view by view.
        views: Number of views of a scan.
    """

    # Features are copied sooner than another thread is woken.
    ahead = False

    def __init__(self, scans: ScanBatches, shards: Sequence[np.ndarray], views: int) -> None:
        self.__dict__.update(scans.__dict__)
        self.shards = shards
        self.views = views
        self.starts = np.cumsum([0, *map(len, shards)])

    def __getitems__(self, drawn: Sequence[tuple[int, int]]) -> Batch:
        """The batch at ``(position, seed)`` pairs; the seed chooses the view."""
        positions = np.array([position for position, _ in drawn])
        rows = np.array([seed % self.views for _, seed in drawn]) * len(self) + positions
        shard_of = np.searchsorted(self.starts, rows, "right") - 1
        features = np.empty((len(rows), self.shards[0].shape[1]), np.float32)
        for number in np.unique(shard_of):
            here = shard_of == number
            features[here] = self.shards[number][rows[here] - self.starts[number]]
        return Batch(torch.from_numpy(features), torch.from_numpy(self.targets[positions]))


class HeadOnly(Classifier):
    """A classifier without its backbone, on pooled features; what it learns, the whole network has learnt.

    Args:
        network: Shares its hidden layers and head.
    """

    def __init__(self, network: Classifier) -> None:
        nn.Module.__init__(self)
        self.backbone = nn.Identity()
        self.dropout, self.hidden, self.head, self.act = (
            network.dropout,
            network.hidden,
            network.head,
            network.act,
        )
        self.kind, self.classes = network.kind, network.classes
        self.pooling, self.activation = network.pooling, network.activation

    def pool(self, maps: Tensor) -> Tensor:
        """They are pooled already."""
        return maps.float()


def _obstacle(recipe: Recipe, machine: Machine, size: int) -> str | None:
    """Why the backbone has to run in every epoch after all, or None."""
    if recipe.mixing.mixup or recipe.mixing.cutmix:
        return "training.mixing mixes scans, not features"
    if machine.devices * machine.nodes > 1:
        return "several processes train"
    if size > MOST_FEATURE_BYTES:
        return f"they would take {size / 2**30:.1f} GiB, more than {MOST_FEATURE_BYTES / 2**30:.0f}"
    nearest = next(path for path in (FEATURES.absolute(), *FEATURES.absolute().parents) if path.is_dir())
    if size > shutil.disk_usage(nearest).free / 2:
        return f"they would take {size / 2**30:.1f} GiB, more than half of what is free"
    return None


def with_features(
    network: Classifier,
    architecture: Architecture,
    train: ScanBatches,
    val: ScanBatches,
    transfer: Transfer,
    augmentation: Augmentation,
    recipe: Recipe,
    machine: Machine,
) -> tuple[Classifier, ScanBatches, ScanBatches]:
    """What a fit is to work on: kept features and the head where the backbone is frozen, else all as it is.

    Args:
        network: Has its first weights.
        architecture: Of the network.
        train: Training scans.
        val: Validation scans.
        transfer: Section ``transfer``.
        augmentation: Its policy is what ``train`` changes scans by.
        recipe: Of the fit.
        machine: Device and precision.

    Returns:
        Network, training and validation batches for :func:`scanlens.training.fit.fit`; afterwards ``network``
        has learnt.
    """
    if transfer.mode != "head":
        return network, train, val
    views = transfer.views if train.policy is not None else 1
    seen = LimitedViews(train, views) if train.policy is not None else train
    if not transfer.cache_features or not len(train) or not len(val):
        return network, seen, val
    # The input of the first fully connected layer.
    first = network.hidden[0] if len(network.hidden) else network.head
    width = int(cast(Tensor, first.weight).shape[1])
    reason = _obstacle(recipe, machine, 4 * width * (views * len(train) + len(val)))
    if reason is not None:
        print(f"features are not kept: {reason}", flush=True)
        return network, seen, val
    prune_features(FEATURES)
    made: list[ScanBatches] = []
    for scans, count, policy in ((seen, views, train.policy), (val, 1, val.policy)):
        changes = {}
        if isinstance(policy, BatchPolicy):
            changes = {**asdict(augmentation.policy), "share": policy.share}
        folder = FEATURES / feature_key(network, architecture, scans, changes, count, machine)
        folder.mkdir(parents=True, exist_ok=True)
        made.append(FeatureBatches(scans, compute(network, scans, count, machine, folder, width), count))
    return HeadOnly(network), made[0], made[1]

"""Features of a frozen backbone, computed once and kept: every later epoch learns the head from them.

A scan that is changed anew each epoch has no features to keep. So a frozen backbone sees ``transfer.views``
changed views of every training scan, the same in every epoch, with the cache and without. Validation scans
are not changed and have one view.

The features lie in ``.scanlens/features/<key>/``, where the key is a hash of all that decides them: the
backbone's architecture and weights, the scans, their changes, the precision and the code. They are written
shard by shard, each whole or absent, so a killed run goes on from its last shard, and another run with other
settings of the head, the optimiser or the schedule finds them ready. Features that no run used for
``KEPT_DAYS`` days are removed, and beyond ``KEPT_BYTES`` those that were used longest ago.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

import scanlens
from scanlens.atomic import replacing
from scanlens.augmentation.policy import BatchPolicy
from scanlens.config.schema import Augmentation, Transfer
from scanlens.errors import ScanlensError
from scanlens.models.architecture import Architecture
from scanlens.models.classifier import Classifier
from scanlens.scaling.device import Machine
from scanlens.training.datamodule import Batch, ScanBatches
from scanlens.training.memory import is_shortage
from scanlens.training.recipe import Recipe

FEATURES = Path(".scanlens/features")
"""Outside DVC's outputs, like the checkpoints: a matter of this machine's time, not of results."""
KEPT_DAYS = 30.0
KEPT_BYTES = 16 << 30
MOST_BYTES = 8 << 30
"""Features of one set of scans beyond which the backbone runs each epoch instead; flattened ones reach it."""
SHARD_BYTES = 32 << 20
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_HEAD_ONLY = ("classes", "dropout", "head", "hidden", "centre", "spread")
"""Keys of an architecture that its features do not depend on; ``activation`` is a layer pattern's too."""
PACKAGE = Path(scanlens.__file__).parent
_CODE = ("augmentation", "models", "preprocess", "training/datamodule.py", "training/features.py")
"""Parts of this package that decide what the features are: changed, they make features of their own."""
_LIBRARIES = ("torch", "numpy", "scipy", "timm", "monai")


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
        return Batch(
            torch.from_numpy(features),
            torch.from_numpy(self.targets[positions]),
            torch.from_numpy(self.auxiliary[positions]),
        )


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


def _key(
    network: Classifier,
    architecture: Architecture,
    scans: ScanBatches,
    changes: dict[str, Any],
    views: int,
    machine: Machine,
) -> str:
    """A hash of everything that decides the features."""
    weights = hashlib.sha256()
    for name, tensor in network.backbone.state_dict().items():
        weights.update(name.encode())
        weights.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    shape = {key: value for key, value in architecture.to_json().items() if key not in _HEAD_ONLY}
    parts = [
        [part.store.digest, hashlib.sha256(np.ascontiguousarray(part.rows).tobytes()).hexdigest()]
        for part in scans.parts
    ]
    facts = [
        _code(), [metadata.version(name) for name in _LIBRARIES], weights.hexdigest(), shape, parts,
        scans.statistics, changes, views, machine.device, machine.precision,
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _code() -> str:
    """A hash of the package's sources named in ``_CODE``."""
    digest = hashlib.sha256()
    for part in _CODE:
        path = PACKAGE / part
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(file.relative_to(PACKAGE).as_posix().encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()


def compute(
    network: Classifier, scans: ScanBatches, views: int, machine: Machine, folder: Path, width: int
) -> list[np.ndarray]:
    """Features of every view of every scan, as far as they are not in ``folder`` already.

    Args:
        network: Its backbone runs once for each view that is missing.
        scans: Given as views, see :class:`LimitedViews`, or unchanged.
        views: Number of views.
        machine: Device, precision and batch size.
        folder: Holds the shards.
        width: Pooled features of a scan.

    Returns:
        Memory-mapped shards ``(row, feature)``, float32; row ``view * len(scans) + position``.
    """
    total = views * len(scans)
    per_shard = max(1, SHARD_BYTES // (4 * width))
    starts = range(0, total, per_shard)
    paths = [folder / f"{start:010d}.npy" for start in starts]
    shapes = [(min(per_shard, total - start), width) for start in starts]
    todo = [
        (start, path)
        for start, path, shape in zip(starts, paths, shapes, strict=True)
        if not _is_shard(path, shape)
    ]
    if todo:
        was_training = network.training
        network.to(machine.device).eval()
        if len(scans.parts[0].store.shape) == 3:
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        missing = sum(min(per_shard, total - start) for start, _ in todo)
        with (
            _said_clearly(machine),
            tqdm(total=total, desc="features", unit="scan", initial=total - missing) as bar,
        ):
            for start, path in todo:
                rows = np.empty((min(per_shard, total - start), width), np.float32)
                for first in range(0, len(rows), machine.batch_size):
                    block = range(start + first, start + min(first + machine.batch_size, len(rows)))
                    batch = scans.__getitems__([(row % len(scans), row // len(scans)) for row in block])
                    rows[first : first + len(block)] = _forward(network, batch.scans, machine)
                    bar.update(len(block))
                with replacing(path) as temporary, temporary.open("wb") as file:
                    np.save(file, rows)
        network.to("cpu").train(was_training)
    os.utime(folder)
    return [np.load(path, mmap_mode="r") for path in paths]


def _is_shard(path: Path, shape: tuple[int, int]) -> bool:
    """Whether a file holds features of this shape; a power cut may leave an empty one."""
    try:
        return np.load(path, mmap_mode="r").shape == shape
    except (OSError, ValueError, EOFError):
        return False


@contextmanager
def _said_clearly(machine: Machine) -> Iterator[None]:
    """A full disk and too little memory, with what to do about them."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise ScanlensError(
            f"{FEATURES}: no space left on the disk for kept features.",
            "Free some, or set transfer.cache_features=false or fewer transfer.views.",
        ) from error
    except (MemoryError, RuntimeError) as error:
        if not is_shortage(error):
            raise
        raise ScanlensError(
            f"Out of memory at runtime.batch_size={machine.batch_size} while features are computed.",
            "Lower runtime.batch_size; what is done is kept.",
        ) from None


def _forward(network: Classifier, scans: Tensor, machine: Machine) -> np.ndarray:
    """Pooled features ``(batch, feature)``, in the precision that training would compute them in."""
    lower = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(machine.precision)
    with (
        torch.no_grad(),
        torch.autocast(machine.device, dtype=lower or torch.bfloat16, enabled=lower is not None),
    ):
        maps = network.features(scans.to(machine.device))
    pooled: np.ndarray = network.pool(maps).cpu().numpy()
    return pooled


def prune(folder: Path, days: float = KEPT_DAYS, most: int = KEPT_BYTES) -> None:
    """Remove features that were not used for ``days`` days, and the longest unused beyond ``most`` bytes."""
    kept = 0
    found = [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    for path in sorted(found, key=lambda path: path.stat().st_mtime, reverse=True):
        kept += sum(file.stat().st_size for file in path.iterdir())
        if path.stat().st_mtime < time.time() - days * 86400 or kept > most:
            shutil.rmtree(path, ignore_errors=True)


def _obstacle(recipe: Recipe, machine: Machine, size: int) -> str | None:
    """Why the backbone has to run in every epoch after all, or None."""
    if recipe.mixing.mixup or recipe.mixing.cutmix:
        return "training.mixing mixes scans, not features"
    if machine.devices * machine.nodes > 1:
        return "several processes train"
    if size > MOST_BYTES:
        return f"they would take {size / 2**30:.1f} GiB, more than {MOST_BYTES / 2**30:.0f}"
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
    prune(FEATURES)
    made: list[ScanBatches] = []
    for scans, count, policy in ((seen, views, train.policy), (val, 1, val.policy)):
        changes = asdict(augmentation.policy) if isinstance(policy, BatchPolicy) else {}
        folder = FEATURES / _key(network, architecture, scans, changes, count, machine)
        folder.mkdir(parents=True, exist_ok=True)
        made.append(FeatureBatches(scans, compute(network, scans, count, machine, folder, width), count))
    return HeadOnly(network), made[0], made[1]

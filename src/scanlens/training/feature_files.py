"""Features of a frozen backbone on disk: what they are of, written shard by shard, removed when old.

They lie in ``.scanlens/features/<key>/``, where the key is a hash of all that decides them: the backbone's
architecture and weights, the scans, their changes, the precision and the code. Each shard is whole or absent,
so a killed run goes on from its last shard, and another run with other settings of the head, the optimiser or
the schedule finds them ready. Features that no run used for ``KEPT_DAYS`` days are removed, and beyond
``KEPT_BYTES`` those that were used longest ago.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from scanlens.atomic import replacing
from scanlens.errors import ScanlensError, shortage
from scanlens.models.architecture import Architecture
from scanlens.models.classifier import Classifier
from scanlens.scaling.device import Machine
from scanlens.training.code import code_hash
from scanlens.training.datamodule import ScanBatches

FEATURES = Path(".scanlens/features")
"""Outside DVC's outputs, like the checkpoints: a matter of this machine's time, not of results."""
_KEPT_DAYS = 30.0
KEPT_BYTES = 16 << 30
SHARD_BYTES = 32 << 20
_HEAD_ONLY = ("classes", "dropout", "head", "hidden", "centre", "spread")
"""Keys of an architecture that its features do not depend on; ``activation`` is a layer pattern's too."""
_CODE = (
    "augmentation",
    "models",
    "preprocess",
    "training/datamodule.py",
    "training/features.py",
    "training/feature_files.py",
)
"""Parts of this package that decide what the features are: changed, they make features of their own."""


def feature_key(
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
        code_hash(_CODE), weights.hexdigest(), shape, parts, scans.statistics, changes, views,
        machine.device, machine.precision,
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def compute(
    network: Classifier, scans: ScanBatches, views: int, machine: Machine, folder: Path, width: int
) -> list[np.ndarray]:
    """Features of every view of every scan, as far as they are not in ``folder`` already.

    Args:
        network: Its backbone runs once for each view that is missing.
        scans: Given as views, see :class:`scanlens.training.features.LimitedViews`, or unchanged.
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
        if shortage(error) != "disk":
            raise
        raise ScanlensError(
            f"{FEATURES}: no space left on the disk for kept features.",
            "Free some, or set transfer.cache_features=false or fewer transfer.views.",
        ) from error
    except (MemoryError, RuntimeError) as error:
        if shortage(error) != "memory":
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


def prune_features(folder: Path, days: float = _KEPT_DAYS, most: int = KEPT_BYTES) -> None:
    """Remove features that were not used for ``days`` days, and the longest unused beyond ``most`` bytes."""
    kept = 0
    found = [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    for path in sorted(found, key=lambda path: path.stat().st_mtime, reverse=True):
        kept += sum(file.stat().st_size for file in path.iterdir())
        if path.stat().st_mtime < time.time() - days * 86400 or kept > most:
            shutil.rmtree(path, ignore_errors=True)

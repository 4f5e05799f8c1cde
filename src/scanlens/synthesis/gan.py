"""Train the class-conditional generator: hinge loss, moving average of the weights, one seed.

A plain loop. Every batch has each class equally often in the mean, so that rare classes are learned too.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from scanlens.config.schema import Synthesis
from scanlens.errors import SettingsError
from scanlens.preprocess.store import Store
from scanlens.synthesis.diffaugment import apply_changes, draw_changes
from scanlens.synthesis.networks import Discriminator, Generator, working_side
from scanlens.synthesis.resize import from_store
from scanlens.synthesis.sketch import fit_sketch
from scanlens.types import IntArray

BETAS = (0.0, 0.99)
"""Adam's betas; no momentum, as usual with spectral normalisation."""
DISCRIMINATOR_LR = 2.0
"""The discriminator's learning rate as a multiple of the generator's (two time scales, Heusel 2017)."""
MOVING_AVERAGE = 0.99
"""Decay of the moving average; smaller in the first steps."""
SKETCH_SCANS = {2: 1024, 3: 256}
"""Training scans the linear sketch is fitted to, by dimension: bounds the memory."""
MAX_VOLUME_SIDE = 32
"""Volumes work at no more than this side: a step's cost grows with its third power."""
VOLUME_SAVING = 8
"""Volumes take batches smaller by this factor, and half the width, for the same reason."""


@dataclass(frozen=True)
class _Plan:
    """The sizes in effect.

    Attributes:
        dims: 2 or 3.
        side: Working side.
        batch_size: Scans a step.
        width: Channels of the finest level.
        bf16: Whether the steps are computed in bfloat16 where that is exact enough.
    """

    dims: int
    side: int
    batch_size: int
    width: int
    bf16: bool


def plan(shape: tuple[int, ...], config: Synthesis, device: str, *, bf16: bool = False) -> _Plan:
    """Sizes for a store.

    Args:
        shape: ``(channel, *spatial)`` of the store.
        config: The settings.
        device: ``cpu`` or ``cuda``.
        bf16: Whether bfloat16 is wanted; processors gain nothing from it in volumes.
    """
    dims = len(shape) - 1
    if dims == 3:
        side = working_side(shape[1:], min(config.max_side, MAX_VOLUME_SIDE))
        batch_size = max(4, config.batch_size // VOLUME_SAVING)
        return _Plan(dims, side, batch_size, config.width // 2, bf16 and device != "cpu")
    return _Plan(dims, working_side(shape[1:], config.max_side), config.batch_size, config.width, bf16)


def train_generator(
    store: Store, rows: IntArray, config: Synthesis, device: str = "cpu", *, bf16: bool = False
) -> Generator:
    """Train on the given rows.

    Args:
        store: The preprocessed scans, read batch by batch.
        rows: Rows of the training split.
        config: The settings.
        device: ``cpu`` or ``cuda``.
        bf16: Whether images are learnt in bfloat16 where that is exact enough.

    Returns:
        The moving average of the generator, in evaluation mode on the CPU. The same on every run on one
        machine with as many threads.

    Raises:
        SettingsError: No rows, or a setting out of its range.
    """
    if not len(rows):
        raise SettingsError("synthesis: the training split is empty.", "Check manifest.split.")
    sizes = plan(store.shape, config, device, bf16=bf16)
    random = np.random.default_rng(config.seed)
    noise = torch.Generator().manual_seed(config.seed)
    generator, discriminator = _networks(store, sizes, config)
    members = _rows_of_classes(store, rows)
    _start_from_sketch(generator, store, members, sizes, random)
    layout: Any = torch.channels_last if sizes.dims == 2 else torch.channels_last_3d
    generator.to(device).to(memory_format=layout)
    discriminator.to(device).to(memory_format=layout)
    averaged = copy.deepcopy(generator).eval()
    adam_g = torch.optim.Adam(generator.parameters(), lr=config.lr, betas=BETAS)
    adam_d = torch.optim.Adam(discriminator.parameters(), lr=config.lr * DISCRIMINATOR_LR, betas=BETAS)
    for step in tqdm(range(config.steps), desc="synthesis", unit="step"):
        targets, real = _draw_batch(store, members, sizes, random)
        labels, real = targets.to(device), real.to(device)
        latent = torch.randn(len(labels), config.latent, generator=noise).to(device)
        changes = draw_changes(2 * len(labels), sizes.dims, sizes.side, noise)
        with torch.autocast(device, dtype=torch.bfloat16, enabled=sizes.bf16):
            made = generator(latent, labels)
            shown = apply_changes(torch.cat([real, made.detach()]), changes)
            scores = discriminator(shown, torch.cat([labels, labels]))
        _update(adam_d, hinge_loss(scores[: len(labels)], scores[len(labels) :]))
        changes = draw_changes(len(labels), sizes.dims, sizes.side, noise)
        discriminator.requires_grad_(False)
        with torch.autocast(device, dtype=torch.bfloat16, enabled=sizes.bf16):
            fooled = discriminator(apply_changes(made, changes), labels)
        _update(adam_g, -fooled.float().mean())
        discriminator.requires_grad_(True)
        _follow(averaged, generator, min(MOVING_AVERAGE, (1 + step) / (10 + step)))
    return averaged.cpu()


def hinge_loss(real: Tensor, made: Tensor) -> Tensor:
    """The discriminator's loss: real scores should exceed 1, made ones fall below -1.

    Args:
        real: Scores ``(batch,)`` of real scans.
        made: Scores ``(batch,)`` of made scans.
    """
    return functional.relu(1 - real.float()).mean() + functional.relu(1 + made.float()).mean()


def _networks(store: Store, sizes: _Plan, config: Synthesis) -> tuple[Generator, Discriminator]:
    """Both networks with weights drawn from the seed, the caller's random state untouched."""
    channels, classes = store.shape[0], len(store.labels)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        generator = Generator(sizes.dims, channels, sizes.side, classes, config.latent, sizes.width)
        discriminator = Discriminator(sizes.dims, channels, sizes.side, classes, sizes.width)
    return generator, discriminator


def _rows_of_classes(store: Store, rows: IntArray) -> dict[int, IntArray]:
    """Rows of each class that has any."""
    targets = store.targets(rows)
    return {int(label): rows[targets == label] for label in np.unique(targets)}


def _start_from_sketch(
    generator: Generator,
    store: Store,
    members: dict[int, IntArray],
    sizes: _Plan,
    random: np.random.Generator,
) -> None:
    """Fit the sketch to a sample of the training rows, as many of each class as there are."""
    share = max(2, SKETCH_SCANS[sizes.dims] // len(members))
    chosen = [np.sort(random.permutation(of_class)[:share]) for of_class in members.values()]
    sample = np.concatenate(chosen)
    parts = [
        from_store(store.read(block), sizes.side)
        for block in np.array_split(sample, -(-len(sample) // sizes.batch_size))
    ]
    fit_sketch(generator, torch.cat(parts), store.targets(sample))


def _draw_batch(
    store: Store, members: dict[int, IntArray], sizes: _Plan, random: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Class indices ``(batch,)`` and real scans ``(batch, channel, *spatial)`` at the working side."""
    targets = random.choice(np.array(list(members), dtype=np.int64), size=sizes.batch_size)
    rows = np.array([random.choice(members[int(label)]) for label in targets])
    return torch.from_numpy(targets), from_store(store.read(rows), sizes.side)


def _update(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    """One step down the loss."""
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()


@torch.no_grad()
def _follow(averaged: nn.Module, current: nn.Module, decay: float) -> None:
    """Move the average towards the current weights and running statistics."""
    for kept, new in zip(averaged.state_dict().values(), current.state_dict().values(), strict=True):
        kept.lerp_(new, 1 - decay)

"""Make scans with a trained generator, each from a seed of its own, and keep the generator on disk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from scanlens.atomic import replacing
from scanlens.errors import SettingsError
from scanlens.synthesis.networks import Generator
from scanlens.synthesis.resize import resize_batch
from scanlens.types import FloatArray, IntArray

MADE_AT_ONCE = 16
"""Scans in memory at one time."""


@dataclass(frozen=True)
class Made:
    """A few made scans.

    Attributes:
        images: float32 ``(scan, channel, *spatial)`` in [0, 1], at the store's shape.
        targets: ``(scan,)`` class indices.
        seeds: ``(scan,)``; a seed and a class make the scan again.
    """

    images: FloatArray
    targets: IntArray
    seeds: IntArray


def make_scans(
    generator: Generator, counts: dict[int, int], spatial: tuple[int, ...], seed: int
) -> Iterator[Made]:
    """Make scans class by class, a few at a time.

    Args:
        generator: In evaluation mode, on the CPU.
        counts: Scans of each class index.
        spatial: Spatial shape of the scans.
        seed: Gives the seeds of the scans.

    Yields:
        At most ``MADE_AT_ONCE`` scans of one class.
    """
    random = np.random.default_rng(seed)
    for label, count in counts.items():
        seeds = random.integers(2**31, size=count)
        for start in range(0, count, MADE_AT_ONCE):
            chosen = seeds[start : start + MADE_AT_ONCE]
            targets = np.full(len(chosen), label, dtype=np.int64)
            yield Made(make_from_seeds(generator, targets, chosen, spatial), targets, chosen)


def make_from_seeds(
    generator: Generator, targets: IntArray, seeds: IntArray, spatial: tuple[int, ...]
) -> FloatArray:
    """Make one scan a seed.

    Args:
        generator: In evaluation mode, on the CPU.
        targets: ``(scan,)`` class indices.
        seeds: ``(scan,)``.
        spatial: Spatial shape of the scans.

    Returns:
        float32 ``(scan, channel, *spatial)`` in [0, 1].
    """
    size = generator.arguments["latent"]
    latent = np.stack([np.random.default_rng(seed).standard_normal(size, dtype=np.float32) for seed in seeds])
    with torch.inference_mode():
        scans = generator(torch.from_numpy(latent), torch.from_numpy(targets))
        return resize_batch(scans, spatial).clamp(0, 1).numpy()


def save_generator(generator: Generator, path: Path) -> None:
    """Write weights and arguments as safetensors."""
    tensors = {name: tensor.contiguous() for name, tensor in generator.state_dict().items()}
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata={"arguments": json.dumps(generator.arguments)})


def load_generator(path: Path) -> Generator:
    """Read what :func:`save_generator` wrote, in evaluation mode.

    Raises:
        SettingsError: The file is missing or not such a file.
    """
    remedy = "Run the synthesis stage again."
    try:
        with safe_open(path, framework="pt") as file:
            arguments = json.loads((file.metadata() or {})["arguments"])
        generator = Generator(**arguments)
        generator.load_state_dict(load_file(path))
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise SettingsError(f"{path}: no generator can be read from it: {error}.", remedy) from error
    return generator.eval()

"""What the channels of a layer look for: patterns made by gradient ascent from noise.

Erhan et al. 2009, "Visualizing higher-layer features of a deep network". Left alone the ascent ends in noise
that the network happens to like. So, as Yosinski et al. 2015 ("Understanding neural networks through deep
visualization") do, the pattern is shrunk towards the training scans' mean at each step and blurred now and
then, and it never leaves the range of real scans. The objective is the channel's mean over cells (Olah,
Mordvintsev and Schubert 2017, "Feature visualization": the channel objective).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn
from tqdm import tqdm

from scanlens.errors import SettingsError
from scanlens.methods.activations import activations
from scanlens.models.ensemble import Network

ASCENT_STEPS = 64
RATE = 0.1
"""Root mean square of a step, in standard deviations of the training scans."""
DECAY = 0.01
"""Share of the pattern that a step takes away."""
BLUR_EVERY, BLUR_SIGMA = 8, 0.6
"""Steps between two blurs, and their standard deviation in pixels. The last steps are not blurred."""
START = 0.3
"""Standard deviation of the noise at the start, around the training mean."""


@dataclass(frozen=True)
class Patterns:
    """Patterns of some channels.

    Attributes:
        pixels: Intensities in [0, 1] as of a preprocessed scan, float32 ``(n, channel, *spatial)``.
        before: Mean activation of each channel at its noise, ``(n,)``.
        after: At its pattern, ``(n,)``.
    """

    pixels: np.ndarray
    before: np.ndarray
    after: np.ndarray

    @property
    def silent(self) -> int:
        """Channels that nothing could be found for: not even the noise has a slope."""
        return int((self.after <= self.before).sum())


def patterns(
    network: Network,
    name: str,
    layer: nn.Module,
    channels: Sequence[int],
    shape: Sequence[int],
    statistics: Mapping[str, Sequence[float]],
    steps: int = ASCENT_STEPS,
    seed: int = 0,
    batch_size: int = 8,
    decay: float = DECAY,
    blur: float = BLUR_SIGMA,
    device: str = "cpu",
    progress: bool = True,
) -> Patterns:
    """Patterns that raise the mean activation of channels of a layer, each its own.

    Args:
        network: In evaluation mode, on ``device``.
        name: The layer's, for errors.
        layer: As :func:`scanlens.methods.layers.find_layer` gives it.
        channels: Of the layer; the noise of a channel follows from the seed and its number alone.
        shape: Of a scan, ``(channel, *spatial)``.
        statistics: ``mean`` and ``std`` a channel of the training scans: what bounds the patterns.
        steps: Of the ascent, > 0.
        seed: Of the noise at the start.
        batch_size: Patterns worked on at a time.
        decay: Share of a pattern that is taken away at each step, in [0, 1).
        blur: Standard deviation in pixels of the blur every :data:`BLUR_EVERY` steps; 0 for none.
        device: Of the network.
        progress: Whether to show a bar.
    """
    if steps < 1:
        raise SettingsError(f"--steps is {steps}.", "Give a whole number above 0.")
    mean, std = (
        torch.tensor(statistics[key], dtype=torch.float32, device=device).reshape(-1, *[1] * (len(shape) - 1))
        for key in ("mean", "std")
    )
    lower, upper = (0 - mean) / std, (1 - mean) / std
    pixels, before, after = [], [], []
    with tqdm(total=len(channels), desc="filters", unit="channel", leave=False, disable=not progress) as bar:
        for first in range(0, len(channels), batch_size):
            chosen = list(channels[first : first + batch_size])
            noise = np.stack([np.random.default_rng([seed, one]).normal(0, START, shape) for one in chosen])
            start = torch.from_numpy(noise.astype(np.float32)).to(device).clamp(lower, upper)
            current = start
            for step in range(steps):
                current = _step(network, name, layer, chosen, current, decay).clamp(lower, upper)
                if blur and step % BLUR_EVERY == BLUR_EVERY - 1 and step < steps - BLUR_EVERY:
                    current = _blurred(current, blur)
            with torch.no_grad():
                before.append(_means(network, name, layer, chosen, start).cpu().numpy())
                after.append(_means(network, name, layer, chosen, current).cpu().numpy())
            pixels.append((current * std + mean).cpu().numpy())
            bar.update(len(chosen))
    return Patterns(*(np.concatenate(part).astype(np.float32) for part in (pixels, before, after)))


def _means(network: Network, name: str, layer: nn.Module, channels: list[int], scans: Tensor) -> Tensor:
    """Mean activation of channel ``channels[i]`` at scan ``i``, ``(batch,)``."""
    found = activations(network, scans, name, layer).flatten(2).mean(2)
    return found[torch.arange(len(channels)), channels]


def _step(
    network: Network, name: str, layer: nn.Module, channels: list[int], scans: Tensor, decay: float
) -> Tensor:
    """One step uphill, of a length that does not go by the slope's."""
    with torch.enable_grad():
        leaf = scans.detach().requires_grad_()
        (slope,) = torch.autograd.grad(_means(network, name, layer, channels, leaf).sum(), leaf)
    length = slope.flatten(1).square().mean(1).sqrt().reshape(-1, *[1] * (slope.ndim - 1))
    # A channel without a slope stays where it is, also without decay: there is nothing to regularise.
    moved = scans * (1 - decay) + RATE * slope / length.clamp(min=1e-12)
    return torch.where(length > 0, moved, scans)


def _blurred(scans: Tensor, sigma: float) -> Tensor:
    sigmas = [0.0, 0.0, *[sigma] * (scans.ndim - 2)]
    return torch.from_numpy(gaussian_filter(scans.cpu().numpy(), sigmas, mode="nearest")).to(scans)

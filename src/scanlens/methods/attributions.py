"""Attributions of single pixels by gradients, through captum: integrated gradients and SmoothGrad.

Both are signed, and both sum the channels of a pixel: a grey scan that a network sees three times over has
one value a pixel, and the sum over pixels stays what it was.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

import torch
from captum.attr import IntegratedGradients, NoiseTunnel, Saliency
from torch import Tensor

from scanlens.errors import SettingsError

PATH_STEPS = 64
"""Points of the path of integrated gradients."""
SAMPLES = 32
"""Noisy copies of a scan for SmoothGrad."""
SMOOTHGRAD_NOISE = 0.15
"""Standard deviation of their noise in shares of the scan's span; Smilkov et al. find 0.1 to 0.2 good."""

LogitsFunction = Callable[[Tensor], Tensor]
"""From standardised scans ``(batch, channel, *spatial)`` to logits ``(batch, class)``."""


def integrated_gradients(
    judge: LogitsFunction,
    scan: Tensor,
    classes: Sequence[int],
    hidden: Tensor,
    steps: int = PATH_STEPS,
    batch_size: int = 16,
) -> tuple[Tensor, Tensor]:
    """What each pixel adds to a logit on the straight way from an empty scan to this one.

    Sundararajan, Taly and Yan 2017, "Axiomatic attribution for deep networks": pixel less baseline, times the
    mean gradient along the way (Gauss-Legendre points). Its sum is the logits' difference between the two.

    Args:
        judge: Logits of scans.
        scan: Standardised, ``(channel, *spatial)``.
        classes: Indices.
        hidden: The empty scan, of the same shape: :func:`scanlens.methods.occlusion.baseline_scan`.
        steps: Points on the way, > 0.
        batch_size: Scans a pass.

    Returns:
        float32 ``(class, *spatial)`` in units of the logit; and ``(class,)``, by how much its sum misses the
        logits' difference. Much, beside that difference, means that more steps are needed.
    """
    _whole("--steps", steps)
    method = IntegratedGradients(judge)
    maps, misses = [], []
    for index in classes:
        found, miss = method.attribute(
            scan[None],
            hidden[None],
            target=index,
            n_steps=steps,
            internal_batch_size=batch_size,
            return_convergence_delta=True,
        )
        maps.append(found[0].detach().float().sum(0).cpu())
        misses.append(miss[0].detach().float().cpu())
    return torch.stack(maps), torch.stack(misses)


def smooth_grad(
    judge: LogitsFunction,
    scan: Tensor,
    classes: Sequence[int],
    samples: int = SAMPLES,
    noise: float = SMOOTHGRAD_NOISE,
    seed: int = 0,
    batch_size: int = 16,
) -> Tensor:
    """The gradient of a logit, averaged over noisy copies of the scan.

    Smilkov et al. 2017, "SmoothGrad: removing noise by adding noise". Each class sees the same noise; it is
    drawn on the scan's device, so a processor and a GPU draw different noise.

    Args:
        judge: Logits of scans.
        scan: Standardised, ``(channel, *spatial)``.
        classes: Indices.
        samples: Noisy copies, > 0.
        noise: Standard deviation of the noise, in shares of the scan's largest less its least value, >= 0.
            With 0 it is the gradient itself ("saliency", Simonyan et al. 2014).
        seed: Of the noise. The caller's random state stays as it was.
        batch_size: Copies a pass.

    Returns:
        float32 ``(class, *spatial)``: logit units a standard deviation of the training scans' pixels.
    """
    _whole("--samples", samples)
    if not 0 <= noise < float("inf"):
        raise SettingsError(f"--noise is {noise:g}.", "Give a share of the scan's span, 0 or more.")
    saliency = Saliency(judge)
    deviation = noise * float(scan.max() - scan.min())
    maps = []
    for index in classes:
        with _seeded(seed, scan.device):
            if deviation == 0:
                found = saliency.attribute(scan[None].clone().requires_grad_(), target=index, abs=False)
            else:
                found = NoiseTunnel(saliency).attribute(
                    scan[None].clone(),
                    nt_type="smoothgrad",
                    nt_samples=samples,
                    nt_samples_batch_size=min(samples, batch_size),
                    stdevs=deviation,
                    target=index,
                    abs=False,
                )
        maps.append(found[0].detach().float().sum(0).cpu())
    return torch.stack(maps)


@contextlib.contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def _whole(option: str, number: int) -> None:
    if number < 1:
        raise SettingsError(f"{option} is {number}.", "Give a whole number above 0.")

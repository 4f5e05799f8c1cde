"""The policy for volumes, by MONAI."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from monai.transforms import (
    Compose,
    RandAdjustContrast,
    RandAffine,
    RandFlip,
    RandGaussianNoise,
    RandGaussianSmooth,
    RandScaleIntensity,
    RandShiftIntensity,
)

from scanlens.config.schema import Policy
from scanlens.types import ImageArray

LEAST_SIGMA = 1e-3
"""A Gaussian of width 0 would divide by 0."""
SEEDS = 2**32
"""MONAI's seeds are 32 bits."""


class VolumePolicy:
    """Change volumes ``(channel, depth, height, width)``; the flip is along the width.

    Args:
        policy: Ranges; zero switches a change off.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._chains: dict[tuple[int, ...], Compose] = {}

    def apply(self, image: ImageArray, seed: int) -> ImageArray:
        """Change one volume, see :class:`scanlens.augmentation.policy.AugmentPolicy`."""
        spatial = image.shape[1:]
        if spatial not in self._chains:
            self._chains[spatial] = Compose(_transforms(self._policy, spatial))
        chain = self._chains[spatial]
        chain.set_random_state(seed=seed % SEEDS)
        return np.clip(np.array(chain(image), dtype=np.float32), 0, 1)


def _transforms(policy: Policy, spatial: tuple[int, ...]) -> list[Callable[..., Any]]:
    """The transforms in the order of imaging: geometry, exposure, then blur and noise of the detector."""
    chain: list[Callable[..., Any]] = []
    if policy.rotate_deg or policy.translate or policy.scale:
        chain.append(
            RandAffine(
                prob=1,
                rotate_range=[np.deg2rad(policy.rotate_deg)] * 3,
                translate_range=[policy.translate * side for side in spatial],
                scale_range=[policy.scale] * 3,
                padding_mode="border",
            )
        )
    if policy.horizontal_flip:
        chain.append(RandFlip(prob=policy.horizontal_flip, spatial_axis=2))
    if policy.gamma:
        chain.append(RandAdjustContrast(prob=1, gamma=(1 / (1 + policy.gamma), 1 + policy.gamma)))
    if policy.contrast:
        chain.append(RandScaleIntensity(prob=1, factors=policy.contrast))
    if policy.brightness:
        chain.append(RandShiftIntensity(prob=1, offsets=policy.brightness))
    if policy.blur:
        sigma = (min(LEAST_SIGMA, policy.blur), policy.blur)
        chain.append(RandGaussianSmooth(prob=1, sigma_x=sigma, sigma_y=sigma, sigma_z=sigma))
    if policy.noise:
        chain.append(RandGaussianNoise(prob=1, mean=0, std=policy.noise))
    return chain

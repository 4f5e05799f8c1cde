"""The policy for volumes, by MONAI."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from monai.data import set_track_meta
from monai.transforms import (
    RandAdjustContrast,
    RandAffine,
    RandFlip,
    RandGaussianNoise,
    RandGaussianSmooth,
    RandomizableTransform,
    RandScaleIntensity,
    RandShiftIntensity,
)

from scanlens.config.schema import Policy
from scanlens.types import ImageArray

_LEAST_SIGMA = 1e-3
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
        self._draws = np.random.RandomState(0)
        self._chains: dict[tuple[int, ...], list[RandomizableTransform]] = {}

    def apply(self, image: ImageArray, seed: int) -> ImageArray:
        """Change one volume, see :class:`scanlens.augmentation.policy.AugmentPolicy`."""
        spatial = image.shape[1:]
        if spatial not in self._chains:
            # What MONAI notes so that changes could be undone costs as much as changing a small volume.
            set_track_meta(False)
            self._chains[spatial] = _transforms(self._policy, spatial)
            for transform in self._chains[spatial]:
                # One stream for all: seeding one of MONAI's random states takes a tenth of a millisecond.
                transform.set_random_state(state=self._draws)
        self._draws.seed(seed % SEEDS)
        changed = torch.from_numpy(image)
        for transform in self._chains[spatial]:
            changed = transform(changed)
        return np.clip(changed.numpy(), 0, 1, dtype=np.float32)


class _Noise(RandGaussianNoise):
    """MONAI's noise, drawn in float32 at a tenth of the cost."""

    def randomize(self, img: torch.Tensor | np.ndarray, mean: float | None = None) -> None:
        """Draw a standard deviation and the noise of all channels."""
        noise = np.empty(tuple(img.shape), np.float32)
        sigma = np.full(1, self.R.uniform(0, self.std))
        cv2.setRNGSeed(int(self.R.randint(2**31)))
        cv2.randn(noise.reshape(-1, noise.shape[-1]), np.zeros(1), sigma)
        self._do_transform, self.noise = True, noise


def _transforms(policy: Policy, spatial: tuple[int, ...]) -> list[RandomizableTransform]:
    """The transforms in the order of imaging: geometry, exposure, then blur and noise of the detector."""
    chain: list[RandomizableTransform] = []
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
        sigma = (min(_LEAST_SIGMA, policy.blur), policy.blur)
        chain.append(RandGaussianSmooth(prob=1, sigma_x=sigma, sigma_y=sigma, sigma_z=sigma))
    if policy.noise:
        chain.append(_Noise(prob=1, mean=0, std=policy.noise))
    return chain

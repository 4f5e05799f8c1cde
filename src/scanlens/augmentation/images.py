"""The policy for images, by albumentations."""

from __future__ import annotations

import os
import random

# albumentations asks the package index for its newest version while it is imported, unless told not to.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import albumentations as A
import cv2
import numpy as np

from scanlens.config.schema import Policy
from scanlens.types import ImageArray

LEAST_SIGMA = 1e-3
"""A Gaussian of width 0 would divide by 0."""


class ImagePolicy:
    """Change images ``(channel, height, width)``; grey ones stay one channel throughout.

    ``Compose.set_random_seed`` is not used: it gives every transform the same seed, so that, say, rotation
    and brightness always go together. Here all share one stream, seeded anew for each image, which is also
    cheaper.

    Args:
        policy: Ranges; zero switches a change off.
    """

    def __init__(self, policy: Policy) -> None:
        self._transforms = _transforms(policy)
        self._compose = A.Compose(self._transforms)
        self._draws = random.Random(0)
        self._noise = np.random.PCG64(0)
        self._compose.set_random_state(np.random.Generator(self._noise), self._draws)

    def apply(self, image: ImageArray, seed: int) -> ImageArray:
        """Change one image, see :class:`scanlens.augmentation.policy.AugmentPolicy`."""
        if not self._transforms:
            return image.copy()
        self._draws.seed(seed)
        self._noise.state = np.random.PCG64(seed).state
        last = np.ascontiguousarray(image.transpose(1, 2, 0))
        changed = self._compose(image=last)["image"].reshape(last.shape)
        return np.clip(changed.transpose(2, 0, 1), 0, 1, dtype=np.float32)


def _transforms(policy: Policy) -> list[A.BasicTransform]:
    """The transforms in the order of imaging: geometry, exposure, then blur and noise of the detector."""
    chain: list[A.BasicTransform] = []
    if policy.rotate_deg or policy.translate or policy.scale:
        chain.append(
            A.Affine(
                rotate=(-policy.rotate_deg, policy.rotate_deg),
                translate_percent=(-policy.translate, policy.translate),
                scale=(1 - policy.scale, 1 + policy.scale),
                keep_ratio=True,
                border_mode=cv2.BORDER_REFLECT_101,
                p=1,
            )
        )
    if policy.horizontal_flip:
        chain.append(A.HorizontalFlip(p=policy.horizontal_flip))
    if policy.gamma:
        chain.append(A.RandomGamma((100 / (1 + policy.gamma), 100 * (1 + policy.gamma)), p=1))
    if policy.brightness or policy.contrast:
        chain.append(
            A.RandomBrightnessContrast(
                (-policy.brightness, policy.brightness), (-policy.contrast, policy.contrast), p=1
            )
        )
    if policy.blur:
        chain.append(A.GaussianBlur(0, (min(LEAST_SIGMA, policy.blur), policy.blur), p=1))
    if policy.noise:
        chain.append(A.GaussNoise((0, policy.noise), p=1))
    return chain

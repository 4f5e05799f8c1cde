"""The policy for images, by albumentations."""

from __future__ import annotations

import random
from typing import Any

import albumentations as A
import cv2
import numpy as np

from scanlens.config.schema import Policy
from scanlens.types import ImageArray

_LEAST_SIGMA = 1e-3
"""A Gaussian of width 0 would divide by 0."""


class ImagePolicy:
    """Change images ``(channel, height, width)``; grey ones stay one channel throughout.

    albumentations' ``Compose`` checks and converts its arguments for every image, which costs more than the
    changes themselves: here its transforms are drawn from and applied directly. All share one stream of
    random numbers, seeded anew for each image.

    Args:
        policy: Ranges; zero switches a change off.
    """

    def __init__(self, policy: Policy) -> None:
        self._transforms = _transforms(policy)
        self._draws = random.Random(0)
        for transform in self._transforms:
            # Nothing is drawn from the generator, which would have to be seeded too.
            transform.set_random_state(np.random.default_rng(0), self._draws)

    def apply(self, image: ImageArray, seed: int) -> ImageArray:
        """Change one image, see :class:`scanlens.augmentation.policy.AugmentPolicy`."""
        self._draws.seed(seed)
        changed = image
        for transform in self._transforms:
            if transform.p == 1 or self._draws.random() < transform.p:
                drawn = transform.get_params()
                drawn |= transform.get_params_dependent_on_data(
                    {"shape": image.shape[1:]}, {"image": changed}
                )
                if isinstance(transform, PLANEWISE):
                    # The channels lie one behind the other; laying them out as OpenCV wants costs more.
                    planes = [transform.apply(plane, **drawn) for plane in changed]
                    changed = planes[0][np.newaxis] if len(planes) == 1 else np.stack(planes)
                else:
                    changed = transform.apply(changed, **drawn)
        return np.clip(changed, 0, 1, dtype=np.float32)


class _Warp(A.Affine):  # type: ignore[misc]
    """albumentations' affine change by one small matrix, to a fraction of a pixel."""

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Draw rotation and zoom about the middle and a shift."""
        (height, width), draw = params["shape"], self.py_random.uniform
        middle = ((width - 1) / 2, (height - 1) / 2)
        matrix = cv2.getRotationMatrix2D(middle, draw(*self.rotate), draw(*self.scale["x"]))
        matrix[0, 2] += draw(*self.translate_percent["x"]) * width
        matrix[1, 2] += draw(*self.translate_percent["y"]) * height
        return {"matrix": matrix}

    def apply(self, img: np.ndarray, matrix: np.ndarray, **params: Any) -> np.ndarray:
        """Warp one plane; albumentations first looks whether the matrix is the identity, at the same cost."""
        size = img.shape[::-1]
        return cv2.warpAffine(img, matrix, size, flags=self.interpolation, borderMode=self.border_mode)


class _Exposure(A.RandomBrightnessContrast):  # type: ignore[misc]
    """albumentations' change of contrast and brightness, without its slow way with several channels."""

    def apply(self, img: np.ndarray, alpha: float, beta: float, **params: Any) -> np.ndarray:
        """Contrast times the image plus brightness, cut off as a detector would."""
        changed = img * np.float32(alpha)
        changed += np.float32(beta)
        return np.clip(changed, 0, 1, out=changed)


class _Blur(A.GaussianBlur):  # type: ignore[misc]
    """albumentations' blur: the same kernel, made by OpenCV."""

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Draw a width."""
        return {"sigma": self.py_random.uniform(*self.sigma_limit)}

    def apply(self, img: np.ndarray, sigma: float, **params: Any) -> np.ndarray:
        """Blur one plane by a kernel that ends at 3.5 sigma."""
        size = 2 * int(3.5 * sigma) + 1
        return cv2.GaussianBlur(img, (size, size), sigma)


class _Noise(A.GaussNoise):  # type: ignore[misc]
    """albumentations' noise at its width at once, and of more patterns than its 65,536."""

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Draw a standard deviation and the noise of all channels."""
        noise = np.empty(data["image"].shape, np.float32)
        sigma = self.py_random.uniform(*self.std_range)
        cv2.setRNGSeed(self.py_random.getrandbits(31))
        cv2.randn(noise.reshape(-1, noise.shape[-1]), np.zeros(1), np.full(1, sigma))
        return {"noise_map": noise}

    def apply(self, img: np.ndarray, noise_map: np.ndarray, **params: Any) -> np.ndarray:
        """Add the noise."""
        return np.add(img, noise_map, out=noise_map)


PLANEWISE = (_Warp, A.HorizontalFlip, _Blur)
"""Transforms that look at a pixel's place; the others treat all numbers alike."""


def _transforms(policy: Policy) -> list[A.BasicTransform]:
    """The transforms in the order of imaging: geometry, exposure, then blur and noise of the detector."""
    chain: list[A.BasicTransform] = []
    if policy.rotate_deg or policy.translate or policy.scale:
        chain.append(
            _Warp(
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
            _Exposure((-policy.brightness, policy.brightness), (-policy.contrast, policy.contrast), p=1)
        )
    if policy.blur:
        chain.append(_Blur(0, (min(_LEAST_SIGMA, policy.blur), policy.blur), p=1))
    if policy.noise:
        chain.append(_Noise((0, policy.noise), p=1))
    return chain

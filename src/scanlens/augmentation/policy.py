"""The random changes that the bank and every training step make to a scan.

Images are changed by albumentations, volumes by MONAI; only the one that is needed is imported. A seed
gives the same bytes every time, whatever was changed before.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import numpy as np
import numpy.typing as npt

from scanlens.config.schema import Policy
from scanlens.errors import SettingsError
from scanlens.types import ImageArray

MOST_CHANNELS = 512
"""OpenCV, which albumentations calls, takes no image of more."""


class AugmentPolicy(Protocol):
    """Change scans at random. Not to be shared between threads: it holds one random state."""

    def apply(self, image: ImageArray, seed: int) -> ImageArray:
        """Change one scan.

        Args:
            image: float32 in [0, 1], ``(channel, *spatial)``; left as it is.
            seed: At least 0; the same seed gives the same bytes.

        Returns:
            The same shape and dtype, within [0, 1].
        """
        ...


def build_policy(policy: Policy, dims: int, channels: int, share: float = 1.0) -> BatchPolicy:
    """Make the policy for images or volumes.

    Units of the fields: ``rotate_deg`` degrees to either side; ``translate`` fraction of the side;
    ``scale`` relative; ``brightness`` and ``noise`` (standard deviation) of the intensity range;
    ``contrast`` relative; ``gamma`` exponent within 1 / (1 + gamma) and 1 + gamma; ``blur`` standard
    deviation in pixels; ``horizontal_flip`` probability. All but the flip are drawn anew for every scan
    between nothing and the value given.

    Args:
        policy: Ranges; zero switches a change off.
        dims: 2 or 3.
        channels: Of a scan; all get the same changes but the noise, which is drawn for each.
        share: Of the scans are changed, the others given back as they are; in [0, 1].

    Raises:
        SettingsError: No scan has such a shape.
    """
    if dims not in (2, 3) or not 1 <= channels <= MOST_CHANNELS:
        raise SettingsError(
            f"augmentation: expected dims 2 or 3, channels 1 to {MOST_CHANNELS}, got {dims}, {channels}."
        )
    single: AugmentPolicy
    if dims == 2:
        from scanlens.augmentation.images import ImagePolicy

        single = ImagePolicy(policy)
    else:
        from scanlens.augmentation.volumes import VolumePolicy

        single = VolumePolicy(policy)
    return BatchPolicy(single, share)


class BatchPolicy:
    """A policy for one scan and for batches of them, in any number of threads.

    Args:
        single: Changes one scan.
        share: Of the scans are changed; the seed says which.
    """

    def __init__(self, single: AugmentPolicy, share: float = 1.0) -> None:
        self._single = single
        self._idle = [single]
        self.share = share

    def apply(self, image: ImageArray, seed: int) -> ImageArray:
        """Change one scan or leave it, see :class:`AugmentPolicy`."""
        if not self._changes(seed):
            return image.copy()
        with self._own() as single:
            return single.apply(image, seed)

    @contextmanager
    def _own(self) -> Iterator[AugmentPolicy]:
        """A policy that no other thread has at the moment."""
        try:
            single = self._idle.pop()
        except IndexError:
            single = copy.deepcopy(self._single)
        try:
            yield single
        finally:
            self._idle.append(single)

    def _changes(self, seed: int) -> bool:
        return self.share == 1 or np.random.default_rng(seed).random() < self.share

    def apply_batch(
        self,
        images: ImageArray,
        seeds: Sequence[int] | npt.NDArray[np.int64],
        out: ImageArray | None = None,
    ) -> ImageArray:
        """Change each scan of a batch by its own seed.

        Args:
            images: float32 in [0, 1], ``(batch, channel, *spatial)``; left as they are, but for ``out``.
            seeds: One a scan.
            out: ``images``, to overwrite what changes.

        Returns:
            The same shape and dtype; row i is ``apply(images[i], seeds[i])``.
        """
        changed = images.copy() if out is None else out
        with self._own() as single:
            for row, seed in enumerate(map(int, seeds)):
                if self._changes(seed):
                    changed[row] = single.apply(images[row], seed)
        return changed

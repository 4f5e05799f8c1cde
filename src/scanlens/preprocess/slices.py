"""2.5-D: the middle slice of a volume and its neighbours as the channels of an image.

The axis of depth is the first spatial one: along the stack of a DICOM series, towards the head in a NIfTI
volume.
"""

from __future__ import annotations

import numpy as np

from scanlens.types import FloatArray


def middle(depth: int) -> int:
    """Index of the middle slice; of an even number the second of the two."""
    return depth // 2


def neighbours(volume: FloatArray, number: int) -> FloatArray:
    """Take the middle slice and its neighbours.

    Args:
        volume: ``(1, depth, height, width)``.
        number: Slices to take, odd; beyond the first and last slice these are repeated.

    Returns:
        ``(number, height, width)``, in the order of depth.
    """
    depth = volume.shape[1]
    wanted = middle(depth) + np.arange(number) - number // 2
    taken: FloatArray = volume[0, np.clip(wanted, 0, depth - 1)]
    return taken

"""Between the store's shape and the networks' working side."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def resize_batch(scans: Tensor, size: tuple[int, ...]) -> Tensor:
    """Resize to any size: area mean where an axis shrinks, linear interpolation where one grows.

    Args:
        scans: ``(batch, channel, *spatial)``.
        size: The new spatial shape.

    Returns:
        ``(batch, channel, *size)``, within the range of the input.
    """
    spatial = tuple(scans.shape[2:])
    shrunk = tuple(min(old, new) for old, new in zip(spatial, size, strict=True))
    if shrunk != spatial:
        scans = functional.interpolate(scans, size=shrunk, mode="area")
    if shrunk != size:
        mode = "bilinear" if len(size) == 2 else "trilinear"
        scans = functional.interpolate(scans, size=size, mode=mode, align_corners=False)
    return scans


def resize_cube(scans: Tensor, side: int) -> Tensor:
    """Resize every axis to ``side``."""
    return resize_batch(scans, (side,) * (scans.ndim - 2))


def from_store(scans: object, side: int) -> Tensor:
    """A batch as read from a store (NumPy) at the working side."""
    return resize_cube(torch.as_tensor(scans), side)

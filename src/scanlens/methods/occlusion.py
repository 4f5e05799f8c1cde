"""Occlusion sensitivity: how far a logit falls when a patch of the scan is covered.

Zeiler and Fergus 2014, "Visualizing and understanding convolutional networks". It asks nothing of a network
but logits, so it works where there are no feature maps to look at.

``captum.attr.Occlusion`` covers the same patches, but explains one class a run: this one judges each covered
scan once for all classes, as many times faster as there are classes. It also moves the last patch of a row
back to the edge, where captum cuts it off: a smaller patch hides less and would look less important.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor
from tqdm import tqdm

from scanlens.errors import SettingsError

BASELINES = ("mean", "blur")
"""What stands where nothing is to be seen: the training scans' mean, or the scan itself without detail."""
PATCHES = {2: 8, 3: 4}
"""Patches that lie side by side along an axis by default, by the number of axes: volumes have many."""
_BLUR = 16
"""A blurred scan's Gaussian has a standard deviation of this part of each axis: half a default patch."""


def baseline_scan(scan: Tensor, kind: str) -> Tensor:
    """The scan with nothing to be seen in it.

    Args:
        scan: Standardised, ``(channel, *spatial)``.
        kind: ``mean``: 0, the training scans' mean after standardisation. ``blur``: a Gaussian blur, which
            keeps the large shapes, so that no edge of a patch is new to the network.

    Returns:
        The same shape, type and device.
    """
    if kind not in BASELINES:
        raise SettingsError(f"No baseline {kind!r}.", f"Choose of: {', '.join(BASELINES)}.")
    if kind == "mean":
        return torch.zeros_like(scan)
    sigmas = [0.0, *(side / _BLUR for side in scan.shape[1:])]
    return torch.from_numpy(gaussian_filter(scan.cpu().numpy(), sigmas, mode="nearest")).to(scan)


def patch_size(size: Sequence[int], patch: Sequence[int] | None) -> tuple[int, ...]:
    """Patch along each axis: as asked for (one number is for all axes), else a share of each side."""
    if patch is None:
        return tuple(max(1, round(side / PATCHES[len(size)])) for side in size)
    return _per_axis("--patch", patch, len(size), size)


def stride_size(patch: Sequence[int], stride: Sequence[int] | None) -> tuple[int, ...]:
    """Step along each axis: as asked for, else half a patch. No step may be larger than the patch."""
    if stride is None:
        return tuple(max(1, side // 2) for side in patch)
    return _per_axis("--stride", stride, len(patch), patch)


def _per_axis(option: str, numbers: Sequence[int], dims: int, most: Sequence[int]) -> tuple[int, ...]:
    chosen = tuple(numbers) * dims if len(numbers) == 1 else tuple(numbers)
    if len(chosen) != dims or not all(1 <= n <= m for n, m in zip(chosen, most, strict=True)):
        raise SettingsError(
            f"{option} is {'x'.join(map(str, numbers))}.",
            f"Give one number or {dims}, from 1 to {'x'.join(map(str, most))}.",
        )
    return chosen


def starts(length: int, patch: int, stride: int) -> list[int]:
    """Where patches begin along an axis: the last one ends where the axis ends."""
    last = length - patch
    return [*range(0, last, stride), last]


def occlusion(
    judge: Callable[[Tensor], Tensor],
    scan: Tensor,
    patch: Sequence[int],
    stride: Sequence[int],
    hidden: Tensor,
    batch_size: int = 16,
    progress: bool = True,
) -> Tensor:
    """What each pixel's surroundings add to each logit.

    Args:
        judge: From standardised scans ``(batch, channel, *spatial)`` to logits ``(batch, class)``.
        scan: Standardised, ``(channel, *spatial)``.
        patch: Of pixels or voxels along each axis; all channels are covered together.
        stride: Between patches along each axis, at most the patch.
        hidden: What covers the scan, of its shape; see :func:`baseline_scan`.
        batch_size: Covered scans a forward pass.
        progress: Whether to show a bar; more than a hundred patches take their time.

    Returns:
        float32 ``(class, *spatial)`` on the processor, signed, in units of the logit: the mean, over all
        patches that cover a pixel, of the logit of the scan less that of the scan with the patch covered.
    """
    size = tuple(scan.shape[1:])
    corners = list(itertools.product(*(starts(*sides) for sides in zip(size, patch, stride, strict=True))))
    with torch.inference_mode():
        whole = judge(scan[None])[0].float().cpu()
        total = torch.zeros(len(whole), *size)
        count = torch.zeros(size)
        with tqdm(
            total=len(corners), desc="occlusion", unit="patch", leave=False, disable=not progress
        ) as bar:
            for first in range(0, len(corners), batch_size):
                boxes = [_box(corner, patch) for corner in corners[first : first + batch_size]]
                covered = scan.repeat(len(boxes), *[1] * scan.ndim)
                for copy, box in zip(covered, boxes, strict=True):
                    copy[(slice(None), *box)] = hidden[(slice(None), *box)]
                drops = whole - judge(covered).float().cpu()
                for drop, box in zip(drops, boxes, strict=True):
                    total[(slice(None), *box)] += drop.reshape(-1, *[1] * len(size))
                    count[box] += 1
                bar.update(len(boxes))
    return total / count


def _box(corner: Sequence[int], patch: Sequence[int]) -> tuple[slice, ...]:
    return tuple(slice(start, start + side) for start, side in zip(corner, patch, strict=True))


def passes(size: Sequence[int], patch: Sequence[int], stride: Sequence[int]) -> int:
    """Scans that are judged for one occlusion map."""
    return 1 + int(np.prod([len(starts(*sides)) for sides in zip(size, patch, stride, strict=True)]))

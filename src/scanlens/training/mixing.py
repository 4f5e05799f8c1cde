"""Scans mixed with others of their batch, and their targets with them.

What is drawn depends on a key alone (seed, epoch, batch, process), so that a run that was killed and resumed
mixes the same. torchvision's MixUp and CutMix do the same to images; they know no volumes and draw from the
generator that dropout uses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import EllipsisType

import numpy as np
from torch import Tensor

from scanlens.config.schema import Mixing
from scanlens.training.losses import soft_targets

_Box = tuple[slice, ...]
"""A range along each spatial axis."""


@dataclass(frozen=True)
class Mix:
    """What happens to a batch: each scan is mixed with the one before it, the first with the last.

    Attributes:
        share: Of the scan itself, in [0, 1]; the rest is its partner's.
        box: Where the partner replaces it (CutMix); None blends everywhere (mixup).
    """

    share: float
    box: _Box | None


def draw_mix(mixing: Mixing, spatial: Sequence[int], key: Sequence[int]) -> Mix | None:
    """Draw what happens to a batch.

    Mixup (Zhang et al. 2018) takes its share from Beta(a, a). CutMix (Yun et al. 2019) takes the partner's
    share of a box from it; the box is cut at the border, and its real size counts. Where both are on, each
    batch gets one of them.

    Args:
        mixing: The settings.
        spatial: Sides of the scans; empty for features, which can only be blended.
        key: Whole numbers; the same give the same.

    Returns:
        None where the batch stays as it is.
    """
    kinds = [kind for kind in ("mixup", "cutmix") if getattr(mixing, kind)]
    if not kinds:
        return None
    rng = np.random.default_rng(list(key))
    if rng.random() >= mixing.share:
        return None
    kind = kinds[rng.integers(len(kinds))]
    alpha = getattr(mixing, kind)
    share = float(rng.beta(alpha, alpha))
    if kind == "mixup":
        return Mix(share, None)
    box = cut(share, [int(rng.integers(side)) for side in spatial], spatial)
    replaced = np.prod([(edge.stop - edge.start) / side for edge, side in zip(box, spatial, strict=True)])
    return Mix(float(1 - replaced), box)


def cut(share: float, centre: Sequence[int], spatial: Sequence[int]) -> _Box:
    """The box around ``centre`` that holds ``1 - share`` of a scan, cut at the scan's border."""
    half = 0.5 * (1 - share) ** (1 / len(spatial))
    box = []
    for middle, side in zip(centre, spatial, strict=True):
        reach = int(half * side)
        box.append(slice(max(middle - reach, 0), min(middle + reach, side)))
    return tuple(box)


def mix_scans(scans: Tensor, mix: Mix) -> Tensor:
    """Mixed scans ``(batch, channel, *spatial)``, or blended features ``(batch, feature)``; a copy."""
    partners = scans.roll(1, 0)
    if mix.box is None:
        return partners.lerp_(scans, mix.share)
    mixed = scans.clone()
    inside: tuple[EllipsisType | slice, ...] = (..., *mix.box)
    mixed[inside] = partners[inside]
    return mixed


def mix_targets(targets: Tensor, mix: Mix, classes: int) -> Tensor:
    """Targets of the mixed scans.

    Args:
        targets: Class indices ``(batch,)``, shares ``(batch, class)``, or numbers (floating, ``(batch,)``).
        mix: What was drawn.
        classes: Number of labels.

    Returns:
        Shares ``(batch, class)``; mixed numbers ``(batch,)`` where targets are numbers.
    """
    if not (targets.is_floating_point() and targets.ndim == 1):
        targets = soft_targets(targets, classes)
    return targets * mix.share + targets.roll(1, 0) * (1 - mix.share)

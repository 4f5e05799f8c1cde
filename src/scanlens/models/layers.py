"""Two plain networks, ``lean`` (the default) and ``cnn``: convolution, batch norm, activation, pooling.

Both learn from few scans. ``cnn`` sees every pixel in its first layers up to 160 pixels, so a lesion of a few
pixels is found before anything is thrown away; larger images are halved once, by the first convolution. It
pools no more than it must: the last feature map has about thirty cells along a side, that of small images
seven or more. ``lean`` does most of its work at a quarter of an image's resolution: a training step takes a
quarter of the time. Scans up to 64 pixels, and volumes, leave nothing to save: there the two are one.

Where these cells are many each sees little of the scan, a quarter of its side: in the later stages only the
first convolution looks around, the second mixes features. A network that sees further from each cell learns
as well, but may argue for a lesion from cells beside it; evidence then lies beside it too. That networks of
small receptive fields lose little and explain themselves is known from Brendel and Bethge 2019,
"Approximating CNNs with bag-of-local-features models".
"""

from __future__ import annotations

from typing import Literal

from torch import nn

from scanlens.errors import SettingsError
from scanlens.models.architecture import Architecture
from scanlens.models.pattern import Block, build_blocks

LAYER_FEATURES = (16, 32, 64, 128)
"""Features of each stage at width 1."""
LEAST_GRID = 7
"""No pooling that would leave fewer cells along the longest side."""
ENOUGH = {2: 32, 3: 8}
"""Cells along the longest side, by dimensions, that are not pooled any further; volumes are dear."""
LEAST_POOLINGS = 2
"""However small the scan, as far as ``LEAST_GRID`` lets."""
FINE_GRID = 8
"""An image with more cells along a side is pooled otherwise and looked at more closely: :func:`_is_fine`."""
LOOKING = 2
"""Stages in which every convolution looks around, where the grid is fine; later ones look around once."""


def build_plain(architecture: Architecture) -> nn.Module:
    """``cnn`` without pooling over all cells and head.

    Args:
        architecture: Its ``width`` multiplies ``LAYER_FEATURES``; the ``standard`` stem has stride 2, others
            1.

    Raises:
        SettingsError: Where ``args`` are given: it has none.
    """
    _refuse_args(architecture)
    halved, pooled, side = _plan(architecture.size, architecture.stem)
    fine = _is_fine(architecture.size, side)
    blocks = [
        Block(
            filters=max(1, round(features * architecture.width)),
            convolutions=2,
            kernel=3,
            next_kernel=1 if fine and number >= LOOKING else None,
            stride=2 if halved and number == 0 else 1,
            padding="same",
            pool="max" if pooled[number] else "none",
            pool_size=2,
            pool_stride=None,
        )
        for number, features in enumerate(LAYER_FEATURES)
    ]
    return build_blocks(blocks, architecture, norm=True)


def build_lean(architecture: Architecture) -> nn.Module:
    """``cnn`` with two halvings by the first convolutions, so that nothing wide works at full resolution.

    Args:
        architecture: As in :func:`build_plain`; the ``small`` stem, and volumes, give the same as ``cnn``.

    Raises:
        SettingsError: Where ``args`` are given: it has none.
    """
    if architecture.stem == "small" or len(architecture.size) == 3:
        return build_plain(architecture)
    _refuse_args(architecture)
    side = -(-max(architecture.size) // 4)
    first, second, third, fourth = (
        max(1, round(features * architecture.width)) for features in LAYER_FEATURES
    )
    pooled: Literal["max", "none"] = "max" if side > 2 * ENOUGH[2] else "none"
    last: Literal["max", "none"] = "max" if side // 2 >= LEAST_GRID else "none"
    blocks = [
        Block(first, 1, 5, None, 2, "same", "none", 2, None),
        Block(second, 2, 3, None, 2, "same", pooled, 2, None),
        Block(third, 2, 3, 1, 1, "same", last, 2, None),
        Block(fourth, 2, 3, 1, 1, "same", "none", 2, None),
    ]
    return build_blocks(blocks, architecture, norm=True)


def _refuse_args(architecture: Architecture) -> None:
    if architecture.args:
        raise SettingsError(
            f"model.args do not fit {architecture.name}: {', '.join(architecture.args)}.",
            "It takes none; model=pattern takes any layers.",
        )


def pooling_for(size: tuple[int, ...], stem: str) -> str:
    """Which pooling over all cells suits scans of this size: ``average`` or ``gem``.

    Over a thousand cells the mean hardly feels a lesion that fills a few; the generalised mean does. Over
    fifty cells of a small image the mean is as good or better, and volumes have coarse grids.

    Args:
        size: Spatial size of the scans.
        stem: Of the network.
    """
    _, _, side = _plan(size, stem)
    return "gem" if _is_fine(size, side) else "average"


def _is_fine(size: tuple[int, ...], side: int) -> bool:
    """Whether an image has so many cells along its longest side that a lesion fills few."""
    return len(size) == 2 and side > FINE_GRID


def _plan(size: tuple[int, ...], stem: str) -> tuple[bool, list[bool], int]:
    """Whether the first convolution halves, which stages end in a pooling, and the longest side's cells."""
    halved = stem == "standard"
    side = -(-max(size) // 2) if halved else max(size)
    pooled = []
    for number in range(len(LAYER_FEATURES)):
        wanted = number < LEAST_POOLINGS or side > ENOUGH[len(size)]
        pooled.append(wanted and side // 2 >= LEAST_GRID)
        side = side // 2 if pooled[-1] else side
    return halved, pooled, side

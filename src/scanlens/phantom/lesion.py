"""The findings of the phantom chests: nodule, opacity and effusion, each with its ground-truth mask.

``difficulty`` slides every range from plain (0) to barely there (1); ranges of neighbouring difficulties
overlap, and the healthy chests carry look-alikes (vessels end on, nipples, blunted angles), so that no
threshold on one number separates the classes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from scanlens.phantom.anatomy import SIDES, Anatomy
from scanlens.phantom.arithmetic import cosine, exp, log, normal, sine, uniform
from scanlens.phantom.grid import Grid
from scanlens.phantom.projection import Projection, diaphragm, texture
from scanlens.types import BoolArray, FloatArray

_SEEN_AIR = 0.12
"""Share of air below which heart or diaphragm hides what happens behind them."""


@dataclass(frozen=True)
class Nodule:
    """A soft-edged round density.

    Attributes:
        x: Centre, mm.
        y: Centre, mm.
        diameter: 8 to 25 mm, at half its greatest depth.
        depth: Optical depth it adds at its centre.
        lobes: (amplitude, phase) of the second and third harmonic of its outline.
    """

    x: float
    y: float
    diameter: float
    depth: float
    lobes: tuple[tuple[float, float], tuple[float, float]]


@dataclass(frozen=True, eq=False)
class Opacity:
    """A patchy consolidation: blobs in which fluid replaces part of the air.

    Attributes:
        blobs: ``(n, 4)``: x, y, radius, weight; mm.
        replaced: Greatest share of the air that is replaced, 0 to 1.
        texture_seed: Seed of its patchiness.
    """

    blobs: FloatArray
    replaced: float
    texture_seed: int


@dataclass(frozen=True)
class Effusion:
    """Fluid above one costophrenic angle; its upper border climbs towards the chest wall (meniscus).

    Attributes:
        side: -1 the patient's right, 1 the left.
        height: How far the fluid reaches above the costophrenic angle at the wall, mm.
        replaced: Share of the air that is replaced, 0 to 1.
    """

    side: int
    height: float
    replaced: float


Lesion: TypeAlias = Nodule | Opacity | Effusion


def draw_lesion(rng: np.random.Generator, label: str, anatomy: Anatomy, difficulty: float) -> Lesion | None:
    """Draw the finding of one scan.

    Args:
        rng: Source of randomness.
        label: One of :data:`LABELS`.
        anatomy: The posed patient; the lesion is placed in a part of the lung that no heart covers.
        difficulty: 0 (plain) to 1 (barely there).

    Returns:
        None for a normal chest.
    """

    def between(plain: tuple[float, float], hard: tuple[float, float]) -> float:
        low, high = (
            (1 - difficulty) * easy + difficulty * faint for easy, faint in zip(plain, hard, strict=True)
        )
        return float(uniform(rng, low, high))

    if label == "normal":
        return None
    side = int(rng.choice(SIDES))
    if label == "effusion":
        return Effusion(side, between((60, 125), (16, 40)), between((0.85, 1.0), (0.35, 0.8)))
    if label == "nodule":
        x, y = _place(rng, anatomy, side, margin=14)
        first, second = ((float(uniform(rng, 0, 0.1)), float(uniform(rng, 0, 2 * np.pi))) for _ in range(2))
        return Nodule(x, y, between((15, 25), (8, 17)), between((0.75, 1.1), (0.12, 0.35)), (first, second))
    x, y = _place(rng, anatomy, side, margin=22)
    count = int(rng.integers(3, 7))
    radius = between((30, 46), (14, 30))
    blobs = np.stack(
        [
            x + normal(rng, 0, 0.45 * radius, count),
            y + normal(rng, 0, 0.55 * radius, count),
            radius * uniform(rng, 0.45, 0.85, count),
            uniform(rng, 0.6, 1.0, count),
        ],
        axis=1,
    )
    return Opacity(blobs, between((0.65, 0.95), (0.12, 0.38)), int(rng.integers(2**31)))


def apply_lesion(
    lesion: Lesion | None, projection: Projection, anatomy: Anatomy, grid: Grid
) -> tuple[Projection, BoolArray]:
    """Put the lesion into the chest.

    Returns:
        The changed projection and the mask: where a nodule has half its depth, where an opacity replaces a
        third of its greatest share or more, where effusion fills the lung field; the latter two as far as
        heart and diaphragm do not cover them. Empty for a normal chest.
    """
    if lesion is None:
        return projection, np.zeros((grid.height, grid.width), dtype=bool)
    if isinstance(lesion, Nodule):
        return _apply_nodule(lesion, projection, grid)
    if isinstance(lesion, Opacity):
        return _apply_opacity(lesion, projection, grid)
    fluid = _fluid(anatomy, grid, lesion.side, lesion.height) * projection.lung
    return replace(projection, air=projection.air * (1 - np.float32(lesion.replaced) * fluid)), (
        fluid > 0.5
    ) & _in_air(projection)


def blunt_angles(projection: Projection, anatomy: Anatomy, grid: Grid) -> Projection:
    """Fill the costophrenic angles as far as the healthy anatomy says: the effusion's look-alike."""
    air = projection.air
    for side, height in zip(SIDES, anatomy.blunting, strict=True):
        if height > 1:
            air = air * (1 - np.float32(0.6) * _fluid(anatomy, grid, side, height))
    return replace(projection, air=air)


def _in_air(projection: Projection) -> BoolArray:
    """Where a change of air can be seen: not behind the heart."""
    return np.asarray(projection.air > _SEEN_AIR)


def _place(rng: np.random.Generator, anatomy: Anatomy, side: int, margin: float) -> tuple[float, float]:
    """Draw a point of the lung at least ``margin`` mm from chest wall, mediastinum and diaphragm."""
    border = diaphragm(anatomy, side)
    top = -128 * anatomy.height + margin
    bottom = float(border[:, 1].min()) - margin / 2
    y = float(top + (bottom - top) * uniform(rng, 0.05, 1))
    inner = float(anatomy.mediastinum(side, y)) + margin
    outer = float(anatomy.wall(y)) - 5 - margin
    share = float(uniform(rng, 0, 1))
    # High up the lung is narrower than both margins: stay in its middle.
    x = (inner + outer) / 2 if outer <= inner else inner + (outer - inner) * share
    return side * x, y


def _apply_nodule(nodule: Nodule, projection: Projection, grid: Grid) -> tuple[Projection, BoolArray]:
    x, y = grid.millimetres()
    across, down = x - np.float32(nodule.x), y - np.float32(nodule.y)
    far = across * across + down * down
    radius = np.sqrt(np.maximum(far, np.float32(1e-12)))
    once_cosine, once_sine = across / radius, down / radius
    turn_cosine, turn_sine = once_cosine, once_sine
    outline = np.ones_like(radius)
    for amplitude, phase in nodule.lobes:
        # Each round adds the angle once more: its double, then its triple.
        turn_cosine, turn_sine = (
            turn_cosine * once_cosine - turn_sine * once_sine,
            turn_sine * once_cosine + turn_cosine * once_sine,
        )
        outline += np.float32(amplitude) * (
            turn_cosine * np.float32(cosine(phase)) - turn_sine * np.float32(sine(phase))
        )
    # exp(-ln2 r^4) is a ball with a soft rim, at half height where r = 1.
    distance = far / (outline * np.float32(nodule.diameter / 2)) ** 2
    profile = exp(-np.float32(log(2.0)) * distance * distance)
    tissue = projection.tissue + np.float32(nodule.depth) * profile
    return replace(projection, tissue=tissue), profile > 0.5


def _apply_opacity(opacity: Opacity, projection: Projection, grid: Grid) -> tuple[Projection, BoolArray]:
    x, y = grid.millimetres()
    cloud = np.zeros_like(x)
    for blob_x, blob_y, radius, weight in opacity.blobs:
        distance = ((x - np.float32(blob_x)) ** 2 + (y - np.float32(blob_y)) ** 2) / np.float32(radius**2)
        cloud += np.float32(weight) * exp(-distance)
    patches = 1 + texture(opacity.texture_seed, grid, (3.0, 9.0), (0.22, 0.3))
    share = np.clip(cloud * patches, 0, 1) * projection.lung
    share /= max(float(share.max()), 1e-6)
    air = projection.air * (1 - np.float32(opacity.replaced) * share)
    return replace(projection, air=air), (share > 1 / 3) & _in_air(projection)


def _fluid(anatomy: Anatomy, grid: Grid, side: int, height: float) -> FloatArray:
    """Where fluid of ``height`` mm above the costophrenic angle stands, 0 to 1, lung borders ignored."""
    base = anatomy.base[SIDES.index(side)]
    wall = float(anatomy.wall(base)) - 5
    x, y = grid.millimetres()
    across = np.clip(x * np.float32(side / wall), 0, 1.05)
    square = across * across
    # From the spine to the wall the border climbs from 45 % to 100 % of the height, steeply at the end.
    surface = np.float32(base) - np.float32(height) * (
        np.float32(0.45) + np.float32(0.55) * across * square * square
    )
    fluid = 1 / (1 + exp(np.clip((surface - y) / np.float32(2.5), -30, 30)))
    return np.asarray(fluid * (x * side > 0))

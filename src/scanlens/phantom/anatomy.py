"""Who the phantom patient is: a rib cage, a heart and a vascular tree that last over all their scans.

Every random value of the anatomy is drawn here and recorded; :mod:`scanlens.phantom.projection`
applies them. Coordinates as in :mod:`scanlens.phantom.grid`: millimetres, x to the patient's left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scanlens.phantom.arithmetic import Curve, cosine, exp, normal, sine, uniform
from scanlens.types import FloatArray

RIGHT, LEFT = -1, 1
"""The patient's sides as signs of x: the patient's right is on the film's left."""
SIDES = (RIGHT, LEFT)

_WALL = Curve(
    [-175, -158, -148, -132, -110, -80, -45, 0, 50, 100, 140, 220],
    [22, 36, 52, 74, 93, 108, 120, 129, 134, 135, 132, 126],
)
_MEDIASTINUM_RIGHT = Curve(
    [-200, -130, -60, -20, 5, 25, 50, 75, 100, 120], [16, 20, 26, 25, 29, 39, 46, 46, 40, 34]
)
_MEDIASTINUM_LEFT = Curve(
    [-200, -130, -85, -62, -42, -22, 0, 25, 50, 75, 100, 120],
    [15, 18, 25, 34, 28, 33, 46, 65, 80, 87, 82, 70],
)
_HEART_TOP_MM = -20.0
_TRUNKS = np.array([-78.0, -62, -48, -30, -8, 14, 32, 46, 58, 68, 78])
"""Mean directions of the great vessels from the hilum, degrees below the horizontal."""
_FAR_SHARES = (0.4966, 0.8442, 0.9659, 0.9942, 0.9992)
"""Share of patients with at most 0, 1, 2 ... calcifications: a Poisson distribution of mean 0.7."""


@dataclass(frozen=True, eq=False)
class Anatomy:
    """One patient's body, all lengths in millimetres.

    Attributes:
        sex: ``F`` or ``M``; decides the breast shadows.
        width: Factor on the half-width of the thorax.
        height: Factor on vertical positions of the thorax.
        bulk: Optical depth of the soft tissue where it is thickest.
        heart: Factor on how far the heart reaches to each side.
        knob: Extra reach of the aortic knob.
        base: The y of the costophrenic angles (right, left) at mean inspiration.
        dome: How far each diaphragm dome rises above its costophrenic angle.
        blunting: Height of the harmless filling of each costophrenic angle.
        rib_pitch: Distance between neighbouring posterior ribs at the spine.
        rib_slope: How far a posterior rib falls on its way to the side.
        rib_width: Breadth of a rib.
        bone: Factor on the optical depth of bone.
        clavicle_rise: How far the clavicles rise on their way to the shoulder.
        breast: Optical depth of the breast shadows.
        nipples: ``(2, 3)``: x, y, optical depth of the nipple shadows (0: not seen).
        vessels: ``(n, 4, 2)`` short lines of the vascular tree.
        vessel_width: ``(n,)`` breadth of each line.
        dots: ``(n, 4)``: x, y, radius, optical depth of vessels seen end on and of small calcifications.
        stomach: (x, y, half-width, half-height) of the gastric bubble under the left dome.
        texture_seed: Seed of the fine lung texture.
    """

    sex: str
    width: float
    height: float
    bulk: float
    heart: float
    knob: float
    base: tuple[float, float]
    dome: tuple[float, float]
    blunting: tuple[float, float]
    rib_pitch: float
    rib_slope: float
    rib_width: float
    bone: float
    clavicle_rise: float
    breast: float
    nipples: FloatArray
    vessels: FloatArray
    vessel_width: FloatArray
    dots: FloatArray
    stomach: tuple[float, float, float, float]
    texture_seed: int

    def wall(self, y: FloatArray | float) -> FloatArray:
        """Half-width of the rib cage at height ``y``."""
        return np.asarray(self.width * _WALL(np.asarray(y) / self.height))

    def mediastinum(self, side: int, y: FloatArray | float) -> FloatArray:
        """How far mediastinum and heart reach from the midline to ``side`` at height ``y``."""
        level = np.clip(np.asarray(y) / self.height, -200, 120)
        if side == RIGHT:
            reach = _MEDIASTINUM_RIGHT(level)
        else:
            reach = _MEDIASTINUM_LEFT(level) + self.knob * exp(-(((level + 62) / 16) ** 2))
        heart = 1 + (self.heart - 1) / (1 + exp(-(level - _HEART_TOP_MM) / 12))
        return np.asarray(self.width * heart * reach)


def draw_anatomy(rng: np.random.Generator) -> Anatomy:
    """Draw a patient. Values are rough adult averages with a spread; nobody in particular."""
    sex = str(rng.choice(["F", "M"]))
    base = float(normal(rng, 112, 7))
    dome = float(np.clip(normal(rng, 36, 6), 22, 52))
    vessels, widths = _draw_vessels(rng)
    nipple_y = float(normal(rng, 50, 9))
    return Anatomy(
        sex=sex,
        width=float(np.clip(normal(rng, 1.0, 0.05), 0.88, 1.1)) * (0.96 if sex == "F" else 1.02),
        height=float(np.clip(normal(rng, 1.0, 0.035), 0.92, 1.08)),
        bulk=float(np.clip(normal(rng, 2.3, 0.2), 1.8, 2.9)),
        heart=float(np.clip(normal(rng, 1.0, 0.09), 0.8, 1.28)),
        knob=float(uniform(rng, 0, 10)),
        base=(base + float(normal(rng, -2, 2)), base + float(normal(rng, 5, 3))),
        dome=(dome + float(normal(rng, 4, 3)), dome + float(normal(rng, -2, 3))),
        blunting=(float(np.maximum(0.0, normal(rng, 2, 5))), float(np.maximum(0.0, normal(rng, 2, 5)))),
        rib_pitch=float(normal(rng, 25, 1.0)),
        rib_slope=float(normal(rng, 1.0, 0.15)),
        rib_width=float(normal(rng, 9.0, 0.8)),
        bone=float(np.clip(normal(rng, 1.0, 0.16), 0.6, 1.4)),
        clavicle_rise=float(normal(rng, 20, 6)),
        breast=float(uniform(rng, 0.15, 0.4)) if sex == "F" else float(uniform(rng, 0, 0.08)),
        nipples=np.array(
            [
                [
                    side * normal(rng, 82, 7),
                    nipple_y + normal(rng, 0, 4),
                    np.maximum(0.0, normal(rng, -0.02, 0.09)),
                ]
                for side in SIDES
            ]
        ),
        vessels=vessels,
        vessel_width=widths,
        dots=_draw_dots(rng),
        stomach=(
            float(normal(rng, 62, 8)),
            float(normal(rng, 24, 4)),
            float(uniform(rng, 14, 32)),
            float(np.maximum(0.0, normal(rng, 8, 5))),
        ),
        texture_seed=int(rng.integers(2**31)),
    )


def _draw_vessels(rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Draw branching lines that leave both hila and taper towards the pleura."""
    lines: list[FloatArray] = []
    widths: list[FloatArray] = []
    for side in SIDES:
        hilum = np.array([side * 30.0, -8.0 if side == LEFT else 0.0])
        count = len(_TRUNKS)
        angle = _TRUNKS + normal(rng, 0, 7, count)
        width = uniform(rng, 2.6, 5.0, count)
        trunk = _wander(rng, hilum + normal(rng, 0, 7, (count, 2)), angle, uniform(rng, 60, 120, count), side)
        # A line is drawn in pieces, each thinner than the one before it.
        for first, share in ((0, 1.0), (3, 0.7), (6, 0.45)):
            lines.append(trunk[:, first : first + 4])
            widths.append(width * share)
        for start in (2, 3, 5, 6):
            fork = angle + rng.choice([-1, 1], count) * uniform(rng, 22, 50, count)
            branch = _wander(rng, trunk[:, start], fork, uniform(rng, 22, 60, count), side)
            thin = width * uniform(rng, 0.3, 0.55, count)
            for first in (0, 3, 6):
                lines.append(branch[:, first : first + 4])
                widths.append(thin)
    return np.concatenate(lines), np.concatenate(widths)


def _wander(
    rng: np.random.Generator, start: FloatArray, angle: FloatArray, length: FloatArray, side: int
) -> FloatArray:
    """``(n, 10, 2)`` points of gently turning lines; ``angle`` in degrees below the horizontal, outwards."""
    course = (angle[:, None] + np.cumsum(normal(rng, 0, 7, (len(angle), 9)), axis=1)) * (np.pi / 180)
    steps = (length[:, None, None] / 9) * np.stack([side * cosine(course), sine(course)], axis=2)
    return np.concatenate([start[:, None], start[:, None] + np.cumsum(steps, axis=1)], axis=1)


def _draw_dots(rng: np.random.Generator) -> FloatArray:
    """Draw small round densities that belong to a healthy chest: the nodule's look-alikes."""
    near = int(rng.integers(4, 10))
    side = rng.choice(SIDES, near)
    vessels = np.stack(
        [
            side * uniform(rng, 38, 85, near),
            normal(rng, 5, 35, near),
            uniform(rng, 1.5, 3.2, near),
            uniform(rng, 0.1, 0.4, near),
        ],
        axis=1,
    )
    far = int(np.searchsorted(_FAR_SHARES, rng.random()))
    side = rng.choice(SIDES, far)
    calcified = np.stack(
        [
            side * uniform(rng, 40, 115, far),
            uniform(rng, -110, 70, far),
            uniform(rng, 1.2, 3.0, far),
            uniform(rng, 0.2, 0.6, far),
        ],
        axis=1,
    )
    return np.vstack([vessels, calcified])

"""The X-ray shadow of a phantom patient: optical depth along each ray, organ by organ.

Optical depth is the integral of the attenuation coefficient (no unit); the beam that reaches the film is
``exp(-depth)`` (Beer-Lambert). Lesions change the air or add depth before the parts are summed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from scanlens.phantom.anatomy import LEFT, RIGHT, SIDES, Anatomy
from scanlens.phantom.arithmetic import NORMAL, Curve, exp, normal, uniform
from scanlens.phantom.bones import bones
from scanlens.phantom.grid import Grid, ellipse
from scanlens.phantom.smoothing import WEIGHT_SUM, distance_inside, gaussian_weights, smooth, stretch
from scanlens.types import FloatArray

_STEP_MM = 2.0
_LATTICE = 200
_NOISE_MEAN, _NOISE_DEVIATION = 128 / 255, 29 / 255
_NOISE = (128 + np.rint(29 * NORMAL)).astype(np.uint8)
"""White noise in whole numbers, for :func:`smooth`."""
_EDGE_MM = 4.0
"""Distance between the places at which the way to the rim is measured."""
_LUNG_DEPTH = 1.6
_HEART_FILL = 0.9
_POINTS = 40
_DOME = Curve([0, 0.05, 0.14, 0.28, 0.42, 0.55, 0.72, 1], [0, 0.26, 0.55, 0.86, 0.99, 1, 0.92, 0.62])
"""The diaphragm's height from the costophrenic angle to the spine, as a share of its dome's."""


@dataclass(frozen=True)
class Pose:
    """How the patient stands and breathes in one scan.

    Attributes:
        inspiration: Millimetres by which the diaphragm is below its mean.
        heart: Factor on the heart's reach (phase and projection).
        scapula: Millimetres by which the scapulae are rolled outwards.
        rotation: In-plane turn, degrees.
        shift: (x, y) millimetres off centre.
        zoom: Factor on the field's size.
    """

    inspiration: float
    heart: float
    scapula: float
    rotation: float
    shift: tuple[float, float]
    zoom: float


@dataclass(frozen=True, eq=False)
class Projection:
    """A chest before exposure; every array float32 ``(height, width)``.

    Attributes:
        lung: 0 to 1: inside either lung field, down to the diaphragm.
        air: 0 to 1: share of the deepest lung's air along the ray, mediastinum excluded.
        tissue: Optical depth of everything but the lungs' air and what lies within it.
        markings: Optical depth of vessels and texture within air.
    """

    lung: FloatArray
    air: FloatArray
    tissue: FloatArray
    markings: FloatArray

    def depth(self) -> FloatArray:
        """Optical depth of the whole chest, never below 0."""
        total = self.tissue + self.air * (self.markings - np.float32(_LUNG_DEPTH))
        return np.maximum(total, 0, out=total)


def draw_pose(rng: np.random.Generator) -> Pose:
    """Draw how one scan of a patient differs from the next."""
    return Pose(
        inspiration=float(np.clip(normal(rng, 0, 7), -18, 12)),
        heart=float(normal(rng, 1, 0.03)),
        scapula=float(uniform(rng, -14, 18)),
        rotation=float(normal(rng, 0, 1.6)),
        shift=(float(normal(rng, 0, 6)), float(normal(rng, 0, 6))),
        zoom=float(uniform(rng, 0.97, 1.12)),
    )


def pose_anatomy(anatomy: Anatomy, pose: Pose) -> Anatomy:
    """The patient as this scan shows them: breathing and heartbeat applied."""
    return replace(
        anatomy,
        base=(anatomy.base[0] + pose.inspiration, anatomy.base[1] + pose.inspiration),
        heart=anatomy.heart * pose.heart * (1 - 0.004 * pose.inspiration),
    )


def project(anatomy: Anatomy, pose: Pose, grid: Grid) -> Projection:
    """Cast the shadow of a posed patient.

    Args:
        anatomy: As :func:`pose_anatomy` returns it.
        pose: For the shoulders, which are no part of the anatomy's pose.
        grid: Where the film is.
    """
    lung_canvas = grid.canvas()
    for side in SIDES:
        grid.fill(lung_canvas, _lung_outline(anatomy, side))
    lung = grid.blur(lung_canvas, 2.0)
    edge = distance_inside(lung_canvas, _EDGE_MM / grid.spacing) * np.float32(grid.spacing)
    # Lungs are thin at their rim and reach full depth some centimetres inwards.
    deep = 0.42 + 0.58 * (1 - exp(-edge / np.float32(22)))
    centre = grid.canvas()
    grid.fill(centre, _mediastinum_outline(anatomy))
    middle = grid.blur(centre, 2.6)
    air = (lung * deep * (1 - _HEART_FILL * middle)).astype(np.float32)
    tissue = _soft_tissue(anatomy, grid) + bones(anatomy, pose.scapula, grid, lung * (1 - 0.75 * middle))
    tissue += 0.16 * middle
    return Projection(lung=lung, air=air, tissue=tissue.astype(np.float32), markings=_markings(anatomy, grid))


def diaphragm(anatomy: Anatomy, side: int) -> FloatArray:
    """The lung's lower border on ``side`` from the costophrenic angle to the spine, ``(n, 2)`` mm."""
    index = SIDES.index(side)
    base, dome = anatomy.base[index], anatomy.dome[index]
    along = np.linspace(0, 1, _POINTS)
    outer = float(anatomy.wall(base)) - 5
    return np.stack([side * (outer + along * (8 - outer)), base - dome * _DOME(along)], axis=1)


def _lung_outline(anatomy: Anatomy, side: int) -> FloatArray:
    base = anatomy.base[SIDES.index(side)]
    apex = -152 * anatomy.height
    y = np.linspace(apex, base, _POINTS)
    outer = np.stack([side * (anatomy.wall(y) - 5), y], axis=1)
    inner_y = np.linspace(base - 30, apex + 18, _POINTS)
    inner = np.stack([side * (16 - 8 * np.clip((inner_y - apex - 18) / 52, 0, 1)), inner_y], axis=1)
    top = np.array([[side * 20, apex + 6], [side * 27, apex]])
    return np.vstack([outer, diaphragm(anatomy, side), inner, top])


def _mediastinum_outline(anatomy: Anatomy) -> FloatArray:
    y = np.linspace(-210, 170, 90)
    right = np.stack([-anatomy.mediastinum(RIGHT, y), y], axis=1)
    left = np.stack([anatomy.mediastinum(LEFT, y), y], axis=1)
    return np.vstack([right, left[::-1]])


def _body_outline(anatomy: Anatomy) -> FloatArray:
    y = [-400, -205, -186, -168, -150, -122, -80, -30, 20, 50, 90, 160, 400]
    reach = np.array([52, 54, 66, 118, 166, 196, 208, 212, 206, 178, 166, 168, 172])
    half = np.stack([anatomy.width * reach, y], axis=1)
    return np.vstack([half, (half * (-1, 1))[::-1]])


def _soft_tissue(anatomy: Anatomy, grid: Grid) -> FloatArray:
    canvas = grid.canvas()
    grid.fill(canvas, _body_outline(anatomy))
    edge = distance_inside(canvas, _EDGE_MM / grid.spacing) * np.float32(grid.spacing)
    body = grid.blur(canvas, 1.5) * (0.25 + 0.75 * (1 - exp(-edge / np.float32(24))))
    _, y = grid.millimetres()
    belly = 0.16 / (1 + exp(-(y - np.float32(sum(anatomy.base) / 2 - 30)) / np.float32(18)))
    tissue = anatomy.bulk * body * (1 + belly)
    shade, spots = grid.canvas(), grid.canvas()
    for side in SIDES:
        grid.fill(shade, ellipse(side * 80 * anatomy.width, 56, 52, 52, 48))
    tissue += anatomy.breast * grid.blur(shade, 5.0) * (0.35 + 0.65 / (1 + exp(-(y - 62) / 18)))
    across, below, wide, tall = anatomy.stomach
    if tall > 2:
        bubble = grid.canvas()
        grid.fill(bubble, ellipse(across, anatomy.base[1] - anatomy.dome[1] + below, wide, tall))
        tissue -= 0.45 * grid.blur(bubble, 3.0)
    for nipple_x, nipple_y, strength in anatomy.nipples:
        grid.fill(spots, ellipse(nipple_x, nipple_y, 5.0, 5.0), min(1.0, strength))
    tissue += grid.blur(spots, 1.6)
    return tissue


def _markings(anatomy: Anatomy, grid: Grid) -> FloatArray:
    canvas = grid.canvas()
    # Pieces of equal width are drawn in the order of the tree, whatever way the machine sorts.
    order = np.argsort(anatomy.vessel_width, kind="stable")
    widths = anatomy.vessel_width[order]
    grid.strokes(canvas, anatomy.vessels[order], widths, np.minimum(1.0, 0.28 + 0.16 * widths))
    hila, dots = grid.canvas(), grid.canvas()
    for side in SIDES:
        grid.fill(hila, ellipse(side * 38, -8 if side == LEFT else 2, 16, 28))
    for x, y, radius, strength in anatomy.dots:
        grid.fill(dots, ellipse(x, y, radius, radius, 12), strength)
    markings = (
        0.36 * grid.blur(canvas, 0.8) + 0.6 * grid.wide_blur(grid.blur(hila, 0.0), 9.0) + grid.blur(dots, 0.9)
    )
    return markings + texture(anatomy.texture_seed, grid, (2.2, 7.0), (0.045, 0.06))


def texture(seed: int, grid: Grid, scales: tuple[float, ...], strengths: tuple[float, ...]) -> FloatArray:
    """Cloudy noise of zero mean: a sum of smoothed white noises.

    The noise is drawn on a 2 mm lattice fixed to the patient, so it does not depend on the film's size.

    Args:
        seed: Seed of the white noise.
        grid: Where the film is.
        scales: Standard deviations of the smoothing, mm.
        strengths: Standard deviation of each smoothed noise.
    """
    rng = np.random.default_rng(seed)
    total = np.zeros((_LATTICE, _LATTICE), dtype=np.float32)
    for scale, strength in zip(scales, strengths, strict=True):
        white = _NOISE[rng.integers(len(_NOISE), size=total.shape, dtype=np.uint16)]
        weights = gaussian_weights(scale / _STEP_MM).astype(np.float64) / WEIGHT_SUM
        # What smoothing leaves of the deviation, once along each axis.
        left = float(np.cumsum(weights * weights)[-1]) * _NOISE_DEVIATION
        total += np.float32(strength / left) * (smooth(white, scale / _STEP_MM) - np.float32(_NOISE_MEAN))
    # The patient's few degrees of turn are left out: nobody sees them in a cloud.
    x, y = grid.axes()
    return stretch(total, y / _STEP_MM + _LATTICE / 2, x / _STEP_MM + _LATTICE / 2)

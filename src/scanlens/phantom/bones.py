"""The skeleton of a phantom chest: ribs, clavicles, scapulae, humeri and spine, as optical depth."""

from __future__ import annotations

import numpy as np

from scanlens.phantom.anatomy import SIDES, Anatomy
from scanlens.phantom.arithmetic import cosine, power, sine
from scanlens.phantom.grid import Grid, ellipse
from scanlens.types import FloatArray


def bones(anatomy: Anatomy, scapula: float, grid: Grid, clear: FloatArray) -> FloatArray:
    """Optical depth of the whole skeleton, float32 ``(height, width)``.

    Args:
        anatomy: The posed patient.
        scapula: Millimetres by which the scapulae are rolled outwards.
        grid: Where the film is.
        clear: 0 to 1: lung field with no heart before it.
    """
    back, core, front = grid.canvas(), grid.canvas(), grid.canvas()
    for posterior, anterior in _ribs(anatomy):
        for side in SIDES:
            mirror = (side, 1)
            grid.stroke(back, posterior * mirror, anatomy.rib_width, 1.0)
            grid.stroke(core, posterior * mirror, anatomy.rib_width * 0.5, 1.0)
            grid.stroke(front, anterior * mirror, anatomy.rib_width * 1.25, 1.0)
    # A rib is a tube: its two cortical edges are denser than its middle.
    ribs = 0.34 * grid.blur(back, 0.9) - 0.12 * grid.blur(core, 1.4) + 0.17 * grid.blur(front, 1.8)
    # Scatter hides most of the ribs where no air is before them.
    bone = ribs * (0.3 + 0.7 * grid.blur(clear, 3.0))
    return np.asarray(anatomy.bone * (bone + _shoulders(anatomy, scapula, grid) + _spine(anatomy, grid)))


def _ribs(anatomy: Anatomy) -> list[tuple[FloatArray, FloatArray]]:
    """Posterior and anterior half of ten ribs of the patient's left side, ``(n, 2)`` mm each."""
    ribs: list[tuple[FloatArray, FloatArray]] = []
    along = np.linspace(0, 1, 24)
    quarter = along * np.pi / 2
    for number in range(10):
        start = (-152 + anatomy.rib_pitch * number) * anatomy.height
        fall = anatomy.rib_slope * (16 + 4.2 * number)
        side_y = start + fall
        reach = float(anatomy.wall(side_y)) + 1
        posterior = np.stack(
            [
                16 + (reach - 16) * power(sine(quarter), 0.92),
                start - 9 * sine(np.pi * along) + fall * power(along, 2.3),
            ],
            axis=1,
        )
        end = 0.42 + 0.03 * number
        anterior = np.stack(
            [
                reach * (1 - (1 - end) * (1 - cosine(quarter))),
                side_y + anatomy.rib_slope * (30 + 4.5 * number) * power(sine(quarter), 1.1),
            ],
            axis=1,
        )
        ribs.append((posterior, anterior))
    return ribs


def _shoulders(anatomy: Anatomy, scapula: float, grid: Grid) -> FloatArray:
    long, core, flat = grid.canvas(), grid.canvas(), grid.canvas()
    along = np.linspace(0, 1, 24)
    span = 140 * anatomy.width
    y = -112 * anatomy.height - anatomy.clavicle_rise * along - 8 * sine(2 * np.pi * along)
    for side in SIDES:
        clavicle = np.stack([side * (13 + (span - 13) * along), y], axis=1)
        grid.stroke(long, clavicle, 11.0)
        grid.stroke(core, clavicle, 5.5)
        out = scapula
        blade = np.array(
            [
                [150, -128],
                [118 + out, -112],
                [104 + out, -60],
                [110 + out, 0],
                [118 + out, 18],
                [140 + out, -40],
            ]
        )
        grid.fill(flat, blade * (side * anatomy.width, 1), 0.55)
        grid.stroke(flat, blade[1:5] * (side * anatomy.width, 1), 4.0, 0.8)
        grid.fill(flat, ellipse(side * 172 * anatomy.width, -118, 23, 25), 1.0)
        shaft = np.array([[176, -100], [186, -60], [192, 10]])
        grid.stroke(flat, shaft * (side * anatomy.width, 1), 24, 0.9)
    return 0.5 * grid.blur(long, 1.1) - 0.16 * grid.blur(core, 1.6) + 0.3 * grid.blur(flat, 1.8)


def _spine(anatomy: Anatomy, grid: Grid) -> FloatArray:
    column, discs, dense = grid.canvas(), grid.canvas(), grid.canvas()
    grid.fill(column, np.array([[-15.0, -400], [15, -400], [19, 100], [22, 400], [-22, 400], [-19, 100]]))
    level = -320.0
    while level < 320:
        height = 22 + 0.02 * (level + 160)
        grid.stroke(discs, np.array([[-17.0, level], [17, level]]), 4.5)
        grid.fill(dense, ellipse(0, level + 13, 2.6, 5, 12))
        for side in SIDES:
            grid.fill(dense, ellipse(side * 12, level + 8, 3, 4, 12), 0.7)
            # Transverse processes carry the ribs' inner ends.
            grid.stroke(dense, np.array([[side * 15.0, level + 7], [side * 31.0, level + 4]]), 7.0, 0.45)
        level += height
    return 0.3 * grid.blur(column, 1.8) - 0.12 * grid.blur(discs, 1.6) + 0.15 * grid.blur(dense, 1.4)

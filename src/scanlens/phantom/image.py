"""One phantom radiograph: every random value is drawn first, then applied."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scanlens.config.data import PHANTOM_LABELS as LABELS
from scanlens.phantom.anatomy import Anatomy, draw_anatomy
from scanlens.phantom.exposure import Exposure, draw_exposure, expose
from scanlens.phantom.grid import Grid
from scanlens.phantom.lesion import Lesion, apply_lesion, blunt_angles, draw_lesion
from scanlens.phantom.marker import Marker, apply_marker, draw_marker
from scanlens.phantom.projection import Pose, draw_pose, pose_anatomy, project
from scanlens.types import BoolArray, FloatArray

_CHEST_MM = (344.0, 340.0)
"""Height and width that a film has to cover to show a chest of average size."""


@dataclass(frozen=True, eq=False)
class PhantomRecipe:
    """All that was drawn for one scan.

    Attributes:
        anatomy: The patient, posed for this scan.
        pose: How they stand.
        lesion: The finding, None for a normal chest.
        exposure: How the film was exposed.
        marker: The side marker.
    """

    anatomy: Anatomy
    pose: Pose
    lesion: Lesion | None
    exposure: Exposure
    marker: Marker


@dataclass(frozen=True, eq=False)
class PhantomImage:
    """A drawn radiograph.

    Attributes:
        image: Brightness in [0, 1], float32 ``(height, width)``; bone bright, air dark (MONOCHROME2).
        mask: True on the lesion, bool ``(height, width)``.
        spacing: Millimetres a pixel in the patient's plane, the same both ways.
    """

    image: FloatArray
    mask: BoolArray
    spacing: float


def draw_recipe(
    rng: np.random.Generator, label: str, *, anatomy: Anatomy, site: str, difficulty: float, shortcut: float
) -> PhantomRecipe:
    """Draw every random value of one scan of a patient.

    Args:
        rng: Source of randomness.
        label: One of :data:`scanlens.config.data.PHANTOM_LABELS`.
        anatomy: The patient.
        site: A key of :data:`scanlens.phantom.exposure.SITES`.
        difficulty: 0 (plain lesions) to 1 (barely there).
        shortcut: Probability with which the marker's shape follows the label.
    """
    pose = draw_pose(rng)
    exposure = draw_exposure(rng, site)
    marker = draw_marker(rng, LABELS.index(label), shortcut)
    posed = pose_anatomy(anatomy, pose)
    # The lesion comes last: scans that differ in the label alone share everything else.
    return PhantomRecipe(posed, pose, draw_lesion(rng, label, posed, difficulty), exposure, marker)


def apply_recipe(recipe: PhantomRecipe, size: tuple[int, int]) -> PhantomImage:
    """Draw the scan that ``recipe`` describes on ``size`` = (height, width) pixels."""
    height, width = size
    spacing = recipe.pose.zoom * max(_CHEST_MM[0] / height, _CHEST_MM[1] / width)
    grid = Grid(height, width, spacing, recipe.pose.rotation, recipe.pose.shift)
    chest = blunt_angles(project(recipe.anatomy, recipe.pose, grid), recipe.anatomy, grid)
    chest, mask = apply_lesion(recipe.lesion, chest, recipe.anatomy, grid)
    film, field = expose(chest.depth(), recipe.exposure, grid)
    left, top, right, bottom = field
    seen = np.zeros_like(mask)
    seen[top:bottom, left:right] = mask[top:bottom, left:right]
    return PhantomImage(apply_marker(recipe.marker, film, grid, field), seen, spacing)


def draw_phantom(
    rng: np.random.Generator,
    label: str,
    size: tuple[int, int],
    difficulty: float,
    shortcut: float,
    site: str,
    anatomy: Anatomy | None = None,
) -> PhantomImage:
    """Draw one scan; of a new patient where ``anatomy`` is None. See :func:`draw_recipe`.

    Args:
        rng: Source of randomness; the same state gives the same picture.
        label: One of :data:`scanlens.config.data.PHANTOM_LABELS`.
        size: (height, width) in pixels.
        difficulty: 0 to 1.
        shortcut: 0 to 1.
        site: ``north`` or ``south``.
        anatomy: The patient.
    """
    patient = draw_anatomy(rng) if anatomy is None else anatomy
    recipe = draw_recipe(rng, label, anatomy=patient, site=site, difficulty=difficulty, shortcut=shortcut)
    return apply_recipe(recipe, size)

"""Sections ``explanation``, ``map_scores`` and ``shortcuts``; see :mod:`scanlens.config.schema`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Regions:
    """Which parts of a probability map are suspicious regions."""

    threshold: float
    least_probability: float
    least_places: float
    labels: list[str]


@dataclass(frozen=True)
class MapScores:
    """How much of the maps is put to the test, and how surely.

    Attributes:
        scans: Scans scored at most, drawn from every class in proportion; 0: none.
        curve_scans: Scans of those whose deletion, insertion and ROAD curves are drawn, at most: each takes
            about three forward passes a step and kind of map.
        steps: Points of a deletion or insertion curve after the first. ROAD takes every other one.
        changes: Random changes a scan, for repeatability; 0 leaves it out.
        randomisations: Wholly random networks of the weight-randomisation check; 0 leaves it out.
        levels: Levels of its cascade, from the last layers to all of them.
        resamples: Of the patient bootstrap; 0 leaves intervals out.
        confidence: Their coverage.
        seed: Of the sample, the random map, the changes, the random weights and the bootstrap.
    """

    scans: int
    curve_scans: int
    steps: int
    changes: int
    randomisations: int
    levels: int
    resamples: int
    confidence: float
    seed: int


@dataclass(frozen=True)
class Shortcuts:
    """How much is looked at for shortcuts, and how surely a verdict must hold.

    Attributes:
        scans: At most so many test scans, whole patients first; each costs eight forward passes. 0: none.
        border: Width of the border, as a share of the side, in (0, 0.5).
        bootstrap: Resamples of patients behind the intervals.
        confidence: That none of all intervals misses its value, in (0, 1): they share the error evenly
            (Bonferroni).
        seed: Of the draw and of the resamples.
    """

    scans: int
    border: float
    bootstrap: int
    confidence: float
    seed: int


@dataclass(frozen=True)
class Explanation:
    """The probability maps and their gallery."""

    max_overlays: int
    overlay_side: int
    neighbours: int
    files: Literal["none", "auto", "nifti", "npy"]
    regions: Regions

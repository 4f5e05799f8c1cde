"""Sections ``explanation``, ``map_scores`` and ``shortcuts``; see :mod:`scanlens.config.schema`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from scanlens.config.kinds import SECTION, Amount, Confidence, Count, Float, Int, Names, Seed, Share


@dataclass(frozen=True, config=SECTION)
class Regions:
    """Which parts of a probability map are suspicious regions."""

    threshold: Annotated[Float, Field(gt=0, le=1)]
    least_probability: Share
    least_cells: Amount
    labels: Names


@dataclass(frozen=True, config=SECTION)
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

    scans: Count
    curve_scans: Count
    steps: Annotated[Int, Field(ge=3, le=1000)]
    changes: Count
    randomisations: Annotated[Int, Field(ge=0, le=1000)]
    levels: Annotated[Int, Field(ge=1, le=1000)]
    resamples: Count
    confidence: Confidence
    seed: Seed


@dataclass(frozen=True, config=SECTION)
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

    scans: Count
    border: Annotated[Float, Field(gt=0, lt=0.5)]
    bootstrap: Annotated[Int, Field(ge=100)]
    confidence: Confidence
    seed: Seed


@dataclass(frozen=True, config=SECTION)
class Explanation:
    """The probability maps and their gallery."""

    max_overlays: Count
    overlay_side: Annotated[Int, Field(ge=16, le=8192)]
    neighbours: Annotated[Int, Field(ge=0, le=100)]
    files: Literal["none", "auto", "nifti", "npy"]
    regions: Regions

"""Settings of the shortcut probes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ShortcutSettings:
    """How much is looked at, and how surely a verdict must hold.

    Attributes:
        scans: At most so many test scans, whole patients first; each costs eight forward passes.
        border: Width of the border, as a share of the side, in (0, 0.5).
        bootstrap: Resamples of patients behind the intervals.
        confidence: That none of all intervals misses its value, in (0, 1): they share the error evenly
            (Bonferroni).
        seed: Of the draw and of the resamples.
    """

    scans: int = 500
    border: float = 0.05
    bootstrap: int = 4000
    confidence: float = 0.95
    seed: int = 0

"""Settings of the scores."""

from __future__ import annotations

from dataclasses import dataclass

from scanlens.errors import SettingsError


@dataclass(frozen=True)
class ScoreSettings:
    """How much is scored, and how surely.

    Attributes:
        scans: Scans scored at most, drawn from every class in proportion.
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

    scans: int = 200
    curve_scans: int = 50
    steps: int = 10
    changes: int = 4
    randomisations: int = 3
    levels: int = 4
    resamples: int = 1000
    confidence: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse impossible numbers.

        Raises:
            SettingsError: Some number is below its least value.
        """
        least = {"scans": 1, "curve_scans": 0, "steps": 3, "changes": 0, "randomisations": 0, "levels": 1,
                 "resamples": 0, "seed": 0}  # fmt: skip
        for name, value in least.items():
            if getattr(self, name) < value:
                raise SettingsError(
                    f"explanation.scores.{name}: expected at least {value}, got {getattr(self, name)}."
                )
        if not 0 < self.confidence < 1:
            raise SettingsError(
                f"explanation.scores.confidence: expected a number between 0 and 1, got {self.confidence}.",
                "0.95 is usual.",
            )

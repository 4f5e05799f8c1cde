"""What the settings of the scores may be."""

from __future__ import annotations

from scanlens.config.schema import MapScores
from scanlens.errors import SettingsError

LEAST = {
    "scans": 1, "curve_scans": 0, "steps": 3, "changes": 0, "randomisations": 0, "levels": 1, "resamples": 0,
    "seed": 0,
}  # fmt: skip


def check_map_scores(settings: MapScores) -> None:
    """Refuse impossible numbers.

    Raises:
        SettingsError: Some number is below its least value, or the confidence is none.
    """
    for name, value in LEAST.items():
        if getattr(settings, name) < value:
            raise SettingsError(
                f"explanation.scores.{name}: expected at least {value}, got {getattr(settings, name)}."
            )
    if not 0 < settings.confidence < 1:
        raise SettingsError(
            f"explanation.scores.confidence: expected a number between 0 and 1, got {settings.confidence}.",
            "0.95 is usual.",
        )

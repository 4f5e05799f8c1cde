"""What the tests that run the whole pipeline share."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

Run = Callable[..., subprocess.CompletedProcess[str]]

# Small enough for a test, large enough that every stage has something to do.
TINY = (
    "synthesis.steps=4",
    "synthesis.scans_per_class=4",
    "pretraining.epochs=1",
    "pretraining.epoch_scans=0",
    "training.epochs=2",
    "training.epoch_scans=0",
    "evaluation.bootstrap=50",
    "map_scores.scans=8",
    "map_scores.curve_scans=2",
    "map_scores.randomisations=1",
    "map_scores.levels=2",
)

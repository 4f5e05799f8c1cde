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
    "explanation.scores.scans=8",
    "explanation.scores.curve_scans=2",
    "explanation.scores.randomisations=1",
    "explanation.scores.levels=2",
)

"""What an evaluation finds out, whatever the task: the part that each kind of task fills in its own way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import singledispatch
from pathlib import Path

import numpy as np
import pandas as pd

from scanlens.config.schema import Evaluation
from scanlens.evaluation.page_parts import Page
from scanlens.tasks import Task, not_registered
from scanlens.types import Facts, FloatArray, IntArray


@dataclass(frozen=True)
class Predicted:
    """What networks say of scans that they never learnt from.

    Attributes:
        outputs: ``(scan, output)``: a logit a class, or the number.
        index: One row per scan: scan_id, patient, split (val, test, maybe train), site, label.
        labels: Class names in the logits' order; or the number's name.
        members: ``(scan,)`` the one of several networks that said it of a validation scan because it alone
            never learnt from it; negative where all of them did. None: there is one network.
        training_mean: Of a number's training labels: what answering without looking says.
        positive: Of two classes the finding; None: one is guessed (:func:`scanlens.tasks.positive_class`).
    """

    outputs: FloatArray
    index: pd.DataFrame
    labels: list[str]
    members: IntArray | None = None
    training_mean: float = 0.0
    positive: str | None = None

    @property
    def split(self) -> np.ndarray:
        """``(scan,)`` name of each scan's split."""
        return self.index["split"].astype(str).to_numpy()


@dataclass(frozen=True)
class Assessment:
    """What is written of an evaluation.

    Attributes:
        table: The predictions, one row per scan.
        facts: Of ``evaluation.json``; ``warnings`` among them.
        calibration: Of ``calibration.json``: what turns outputs into predictions.
        plots: Tables behind the pictures, by name.
        draw: Writes the pictures into a folder.
        page: How the report is laid out.
    """

    table: pd.DataFrame
    facts: Facts
    calibration: Facts
    plots: Mapping[str, pd.DataFrame]
    draw: Callable[[Path], None]
    page: Page


@singledispatch
def assess(task: Task, predicted: Predicted, config: Evaluation) -> Assessment:
    """Calibrate on the validation split and score every split.

    No test label influences the calibration, the sets, the intervals of numbers or any prediction.

    Args:
        task: What the labels are.
        predicted: By the network.
        config: Bootstrap, confidence, calibration and seed.

    Raises:
        ScanlensError: Outputs, index and labels do not fit together, or an output is not finite.
    """
    raise not_registered("scanlens.evaluation", task)

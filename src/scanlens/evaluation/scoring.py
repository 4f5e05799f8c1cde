"""One split, scored: its counts, metrics and intervals together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from scanlens.config.schema import Evaluation
from scanlens.estimate import Estimate
from scanlens.evaluation.intervals import Bootstrap, patient_codes, patient_intervals, unknown_patient
from scanlens.evaluation.metrics import all_metrics, confusion
from scanlens.types import FloatArray, IntArray


@dataclass(frozen=True)
class SplitScore:
    """What is known of one split.

    Attributes:
        name: train, val or test.
        labels: Class names in order.
        scans: How many.
        patients: How many; each scan of unknown patient counts as one.
        unknown_patients: Scans without a patient.
        sites: How many distinct known sites.
        label_scans: ``(class,)`` scans a class.
        label_patients: ``(class,)`` patients a class.
        metrics: As :func:`scanlens.evaluation.metrics.all_metrics` gives them, from calibrated probabilities.
        bootstrap: Intervals over patients.
        confusion: ``(actual class, predicted class)`` counts.
    """

    name: str
    labels: list[str]
    scans: int
    patients: int
    unknown_patients: int
    sites: int
    label_scans: IntArray
    label_patients: IntArray
    metrics: dict[str, FloatArray]
    bootstrap: Bootstrap
    confusion: IntArray

    def estimate(self, name: str, position: int | None = None) -> Estimate:
        """One metric, for :data:`~scanlens.evaluation.metrics.PER_CLASS` that of a class, with its reason."""
        index = () if position is None else (position,)
        return self.bootstrap.estimate(name, self.metrics[name][index], index, self._undefined(position))

    def _undefined(self, position: int | None) -> str:
        if not self.scans:
            return f"there is no {self.name} scan"
        if position is not None and not self.label_scans[position]:
            return f"no {self.name} scan of {self.labels[position]}"
        return f"every {self.name} scan has the same label"

    @property
    def absent(self) -> list[str]:
        """Labels without a scan in this split."""
        return [label for label, scans in zip(self.labels, self.label_scans, strict=True) if not scans]


def score_split(
    name: str,
    index: pd.DataFrame,
    probabilities: FloatArray,
    targets: IntArray,
    labels: list[str],
    config: Evaluation,
) -> SplitScore:
    """Score one split.

    Args:
        name: The split.
        index: Its rows of the predictions table.
        probabilities: ``(scan, class)``, calibrated.
        targets: ``(scan,)`` class indices.
        labels: Class names.
        config: Resamples, confidence and seed of the intervals. Training scans get none: the network has
            seen them, so no interval around their metrics would mean anything.

    Example:
        >>> index = pd.DataFrame({"scan_id": ["a1", "b2", "c3"], "patient": ["p1", "p1", ""], "site": "A"})
        >>> probabilities, targets = np.array([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3]]), np.array([0, 1, 1])
        >>> config = Evaluation(0, 0.95, "temperature", 0)  # no bootstrap: no intervals
        >>> score = score_split("test", index, probabilities, targets, ["normal", "nodule"], config)
        >>> score.scans, score.patients, score.unknown_patients, score.confusion.tolist()
        (3, 2, 1, [[1, 0], [1, 1]])
        >>> score.estimate("accuracy").text(), score.estimate("sensitivity", 1).text()
        ('0.67', '0.50')
    """
    classes = len(labels)
    patients = index["patient"].to_numpy()
    codes = patient_codes(patients)
    resamples = 0 if name == "train" else config.bootstrap
    return SplitScore(
        name=name,
        labels=labels,
        scans=len(index),
        patients=len(np.unique(codes)),
        unknown_patients=int(unknown_patient(index).sum()),
        sites=int(index["site"][index["site"] != ""].nunique()),
        label_scans=np.bincount(targets, minlength=classes),
        label_patients=np.array([len(np.unique(codes[targets == k])) for k in range(classes)]),
        metrics=all_metrics(probabilities, targets),
        bootstrap=patient_intervals(
            probabilities,
            targets,
            patients,
            resamples=resamples,
            confidence=config.confidence,
            seed=config.seed,
        ),
        confusion=confusion(probabilities.argmax(axis=1), targets, classes),
    )

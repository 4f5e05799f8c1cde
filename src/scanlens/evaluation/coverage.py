"""How well prediction sets keep their promise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from scanlens.config.schema import Evaluation
from scanlens.estimate import finite
from scanlens.evaluation.intervals import bootstrap_intervals
from scanlens.evaluation.sets import PredictionSets
from scanlens.types import FloatArray, IntArray


def set_facts(
    held: PredictionSets,
    predicted: IntArray,
    targets: IntArray,
    patients: np.ndarray,
    labels: Sequence[str],
    config: Evaluation,
) -> dict[str, Any]:
    """How well the sets of one split do.

    Args:
        held: ``(scan, class)``.
        predicted: ``(scan,)`` likeliest classes.
        targets: ``(scan,)`` class indices.
        patients: ``(scan,)`` pseudonyms.
        labels: Class names in order.
        config: Resamples, confidence and seed of the intervals.

    Returns:
        ``{value, low, high}`` of ``coverage`` (share of the scans whose set holds the true class), ``size``
        (classes a set), ``abstained`` (share) and ``accuracy_decided`` (of the other scans); ``by_class`` is
        the coverage of each class. Null where there are no scans to tell from.

    Example:
        >>> held = np.array([[True, False], [True, True], [True, False]])
        >>> predicted, targets, patients = np.array([0, 0, 0]), np.array([0, 1, 1]), np.array(["a", "b", "c"])
        >>> config = Evaluation(0, 0.95, "temperature", 0)  # no bootstrap: no intervals
        >>> found = set_facts(held, predicted, targets, patients, ["normal", "nodule"], config)
        >>> [round(found[name]["value"], 2) for name in ("coverage", "size", "abstained", "accuracy_decided")]
        [0.67, 1.33, 0.33, 0.5]
        >>> found["by_class"]
        {'normal': 1.0, 'nodule': 0.5}
    """
    covered = held[np.arange(len(targets)), targets]
    decided = held.sum(axis=1) == 1
    parts = {
        "coverage": (covered.astype(float), np.ones(len(targets))),
        "size": (held.sum(axis=1).astype(float), np.ones(len(targets))),
        "abstained": ((~decided).astype(float), np.ones(len(targets))),
        "accuracy_decided": ((decided & (predicted == targets)).astype(float), decided.astype(float)),
    }

    def shares(weights: FloatArray) -> dict[str, FloatArray]:
        with np.errstate(invalid="ignore"):
            return {name: (weights @ part) / (weights @ whole) for name, (part, whole) in parts.items()}

    found = bootstrap_intervals(
        shares,
        targets,
        patients,
        resamples=config.bootstrap if len(targets) else 0,
        confidence=config.confidence,
        seed=config.seed,
    )
    values = {name: share[0] for name, share in shares(np.ones((1, len(targets)))).items()}
    facts: dict[str, Any] = {
        name: found.estimate(name, value, reason="there is no such test scan").to_json()
        for name, value in values.items()
    }
    facts["by_class"] = {
        label: finite(covered[targets == k].mean()) if (targets == k).any() else None
        for k, label in enumerate(labels)
    }
    return facts

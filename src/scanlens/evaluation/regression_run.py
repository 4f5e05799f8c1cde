"""Numbers, assessed: their errors, and how wide an interval a new prediction needs."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from scanlens.config.numbers import as_numbers
from scanlens.config.schema import Evaluation
from scanlens.errors import ScanlensError
from scanlens.estimate import Estimate, finite, json_of
from scanlens.evaluation.assessment import Assessment, Predicted, assess
from scanlens.evaluation.cautions import few_patients, no_interval, no_scans, overlap_cautions
from scanlens.evaluation.conformal import half_width
from scanlens.evaluation.intervals import Bootstrap, bootstrap_intervals, patient_codes
from scanlens.evaluation.predictions import PREDICTION_COLUMNS
from scanlens.evaluation.regression import NUMBER_METRICS, number_metrics
from scanlens.evaluation.regression_figures import draw_bland_altman, draw_scatter
from scanlens.evaluation.regression_page import NUMBER_PAGE
from scanlens.tasks import Number
from scanlens.types import Facts, FloatArray

_HELD_OUT = ("test", "val")


@assess.register
def _assess_numbers(task: Number, predicted: Predicted, config: Evaluation) -> Assessment:
    """Errors with intervals on validation and test, and how wide an interval new predictions need."""
    index, name = predicted.index, predicted.labels[0]
    values = np.asarray(predicted.outputs, dtype=np.float64)[:, 0]
    if not len(index) or values.shape != (len(index),):
        raise ScanlensError(
            f"evaluation: {values.shape} predictions for {len(index)} scans.", "Look into manifest.split."
        )
    if not np.isfinite(values).all():
        broken = int((~np.isfinite(values)).sum())
        raise ScanlensError(
            f"evaluation: the network gave NaN or infinite numbers for {broken} scans.",
            "Train again with a lower training.lr or runtime.precision=32.",
        )
    table = index[list(PREDICTION_COLUMNS)].fillna("").astype(str).reset_index(drop=True)
    targets = as_numbers(table["label"])
    table["label"], table["predicted"] = targets, values
    error = values - targets
    rows = {split: (table["split"] == split).to_numpy() for split in _HELD_OUT}

    calibration = _interval(error[rows["val"]], config)
    width = calibration["half_width"]
    table["low"] = values - width if width is not None else np.nan
    table["high"] = values + width if width is not None else np.nan
    table["error"] = error
    covered = np.abs(error[rows["test"]]) <= (np.nan if width is None else width)
    calibration["coverage"] = float(covered.mean()) if width is not None and len(covered) else None

    patients = table["patient"].to_numpy()
    found = {
        split: _intervals(values[own], targets[own], patients[own], config) for split, own in rows.items()
    }
    counts = {split: _counts(targets[own], patients[own]) for split, own in rows.items()}
    facts: Facts = {
        "task": task.name,
        **{split: _metrics(values[own], targets[own], found[split], split) for split, own in rows.items()},
        "baseline": _baseline(predicted.training_mean, targets[rows["test"]]),
        "calibration": calibration,
        "counts": counts,
        "bootstrap": {
            split: {"unit": "patient", "resamples": one.resamples, "reason": one.reason or None}
            for split, one in found.items()
        },
        "settings": dataclasses.asdict(config),
        "labels": [name],
    }
    facts["warnings"] = [*overlap_cautions(table), *_cautions(facts)]
    test = table[rows["test"]]
    kept = ("method", "temperature", "half_width", "confidence")
    return Assessment(
        table=table,
        facts=facts,
        calibration={key: calibration[key] for key in kept},
        plots={"numbers": test[["label", "predicted", "low", "high"]]},
        draw=partial(_draw, test, width, name, counts["test"]["patients"]),
        page=NUMBER_PAGE,
    )


def _interval(errors: FloatArray, config: Evaluation) -> Facts:
    facts: Facts = {
        # Nothing is divided by it: a bundle's reader expects one.
        "temperature": 1.0, "method": "none", "half_width": None, "confidence": config.confidence,
        "fitted_on": {"split": "val", "scans": len(errors)},
    }  # fmt: skip
    if config.calibration == "none":
        return {**facts, "reason": "evaluation.calibration is none"}
    width = half_width(errors, config.confidence)
    if width is None:
        return {**facts, "reason": f"{len(errors)} validation scans are too few for this confidence"}
    return {**facts, "method": "conformal", "half_width": width}


def _intervals(
    predicted: FloatArray, targets: FloatArray, patients: np.ndarray, config: Evaluation
) -> Bootstrap:
    if not len(targets):
        return Bootstrap(reason="there is no scan")

    def metrics(weights: FloatArray) -> dict[str, FloatArray]:
        return number_metrics(predicted, targets, weights)

    return bootstrap_intervals(
        metrics,
        np.zeros(len(targets), dtype=np.int64),
        patients,
        resamples=config.bootstrap,
        confidence=config.confidence,
        seed=config.seed,
    )


def _metrics(predicted: FloatArray, targets: FloatArray, found: Bootstrap, split: str) -> Facts:
    """``{metric: {value, low, high}}`` of one split."""
    values = number_metrics(predicted, targets, np.ones((1, len(targets)))) if len(targets) else {}
    reason = "labels or predictions are all the same" if values else f"there is no {split} scan"
    return json_of(
        {
            name: found.estimate(name, values[name][0] if values else np.nan, reason=reason)
            for name in NUMBER_METRICS
        }
    )


def _baseline(mean: float, targets: FloatArray) -> Facts:
    """What always answering the training split's mean reaches; it has no correlation."""
    facts: Facts = {"value": mean, **dict.fromkeys(NUMBER_METRICS)}
    if len(targets):
        values = number_metrics(np.full(len(targets), mean), targets, np.ones((1, len(targets))))
        facts |= {name: finite(values[name][0]) for name in ("mae", "rmse", "r2")}
    return facts


def _counts(targets: FloatArray, patients: np.ndarray) -> Facts:
    known = bool(len(targets))
    return {
        "scans": len(targets),
        "patients": len(np.unique(patient_codes(patients))) if known else 0,
        "mean": float(targets.mean()) if known else None,
        "std": float(targets.std()) if known else None,
        "min": float(targets.min()) if known else None,
        "max": float(targets.max()) if known else None,
    }


def _cautions(facts: Facts) -> list[str]:
    found = []
    for split in _HELD_OUT:
        if not facts["counts"][split]["scans"]:
            found.append(no_scans(split))
        elif reason := facts["bootstrap"][split]["reason"]:
            found.append(no_interval(split, reason))
    found += few_patients(facts["counts"]["test"]["patients"])
    best, mae = facts["baseline"]["mae"], Estimate.from_json(facts["test"]["mae"])
    if best is not None and mae.high is not None and not mae.below(best):
        found.append(
            f"The mean absolute error is not clearly below {best:.4g}, which always answering the training "
            "split's mean reaches."
        )
    if facts["calibration"]["method"] == "none":
        found.append(f"Predictions come without an interval: {facts['calibration']['reason']}.")
    else:
        found.append(
            "The interval's width was measured on the scans that chose the epoch: it may be a little narrow."
        )
    return found


def _draw(test: pd.DataFrame, width: float | None, name: str, patients: int, folder: Path) -> None:
    """The pictures of the test split; none where it is empty."""
    if not len(test):
        return
    predicted, targets = test["predicted"].to_numpy(), test["label"].to_numpy()
    size = f"{len(test)} test scans of {patients} patients"
    draw_scatter(folder / "scatter.png", predicted, targets, width, name, f"Predictions, {size}")
    draw_bland_altman(folder / "bland_altman.png", predicted, targets, name, f"Errors, {size}")

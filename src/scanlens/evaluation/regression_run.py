"""From predicted numbers to everything a person or DVC reads about them."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from scanlens.atomic import replacing, write_json, write_text
from scanlens.config.numbers import as_numbers
from scanlens.config.schema import Evaluation
from scanlens.errors import ScanlensError
from scanlens.estimate import Estimate, finite, json_of
from scanlens.evaluation import regression_figures
from scanlens.evaluation.cautions import FEW_PATIENTS, overlap_cautions
from scanlens.evaluation.conformal import half_width
from scanlens.evaluation.intervals import Bootstrap, bootstrap_intervals, patient_codes
from scanlens.evaluation.predictions import COLUMNS
from scanlens.evaluation.regression import NUMBER_METRICS, number_metrics
from scanlens.evaluation.regression_page import render_number_page
from scanlens.evaluation.report import dvc_metrics
from scanlens.evaluation.run import check_settings
from scanlens.types import FloatArray

HELD_OUT = ("test", "val")


def evaluate_numbers(
    values: FloatArray,
    index: pd.DataFrame,
    name: str,
    training_mean: float,
    config: Evaluation,
    output: Path,
    known: Sequence[str] = (),
) -> dict[str, Any]:
    """Measure the errors on validation and test, and how wide an interval new predictions need.

    Writes predictions.parquet (scan_id, patient, split, site, ``label``, ``predicted``, ``low``, ``high``,
    ``error``; numbers), calibration.json, metrics.json, evaluation.json, plots/numbers.csv,
    figures/{scatter,bland_altman}.png and report.html. The width of the interval is the validation split's.

    Args:
        values: ``(scan,)`` predictions, finite.
        index: One row a prediction: scan_id, patient, split (val, test), site, label (a number as text).
        name: Of the number.
        training_mean: Of the labels: what answering without looking says.
        config: Bootstrap, confidence and seed; ``calibration=none`` leaves the interval out.
        output: Folder to write to; made if missing.
        known: Further cautions for the report.

    Returns:
        The facts, as in evaluation.json.

    Raises:
        SettingsError: ``confidence`` or ``bootstrap`` is out of range.
        ScanlensError: There is nothing to evaluate, or a prediction is not finite.
    """
    check_settings(config)
    predicted = np.asarray(values, dtype=np.float64)
    if not len(index) or predicted.shape != (len(index),):
        raise ScanlensError(
            f"evaluation: {predicted.shape} predictions for {len(index)} scans.", "Look into manifest.split."
        )
    if not np.isfinite(predicted).all():
        broken = int((~np.isfinite(predicted)).sum())
        raise ScanlensError(
            f"evaluation: the network gave NaN or infinite numbers for {broken} scans.",
            "Train again with a lower training.lr or runtime.precision=32.",
        )
    table = index[list(COLUMNS)].fillna("").astype(str).reset_index(drop=True)
    targets = as_numbers(table["label"])
    table["label"], table["predicted"] = targets, predicted
    error = predicted - targets
    rows = {split: (table["split"] == split).to_numpy() for split in HELD_OUT}

    calibration = _interval(error[rows["val"]], config)
    width = calibration["half_width"]
    table["low"] = predicted - width if width is not None else np.nan
    table["high"] = predicted + width if width is not None else np.nan
    table["error"] = error
    covered = np.abs(error[rows["test"]]) <= (np.nan if width is None else width)
    calibration["coverage"] = float(covered.mean()) if width is not None and len(covered) else None

    patients = table["patient"].to_numpy()
    found = {
        split: _intervals(predicted[own], targets[own], patients[own], config) for split, own in rows.items()
    }
    counts = {split: _counts(targets[own], patients[own]) for split, own in rows.items()}
    facts: dict[str, Any] = {
        "task": "regression",
        **{split: _metrics(predicted[own], targets[own], found[split], split) for split, own in rows.items()},
        "baseline": _baseline(training_mean, targets[rows["test"]]),
        "calibration": calibration,
        "counts": counts,
        "bootstrap": {
            split: {"unit": "patient", "resamples": one.resamples, "reason": one.reason or None}
            for split, one in found.items()
        },
        "settings": dataclasses.asdict(config),
        "labels": [name],
    }
    facts["warnings"] = [*known, *overlap_cautions(table), *_cautions(facts)]
    _write(table, rows["test"], facts, width, name, output)
    return facts


def _interval(errors: FloatArray, config: Evaluation) -> dict[str, Any]:
    facts: dict[str, Any] = {
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


def _metrics(
    predicted: FloatArray, targets: FloatArray, found: Bootstrap, split: str
) -> dict[str, dict[str, Any]]:
    """``{metric: {value, low, high}}`` of one split."""
    values = number_metrics(predicted, targets, np.ones((1, len(targets)))) if len(targets) else {}
    reason = "labels or predictions are all the same" if values else f"there is no {split} scan"
    return json_of(
        {
            name: found.estimate(name, values[name][0] if values else np.nan, reason=reason)
            for name in NUMBER_METRICS
        }
    )


def _baseline(mean: float, targets: FloatArray) -> dict[str, Any]:
    """What always answering the training split's mean reaches; it has no correlation."""
    facts: dict[str, Any] = {"value": mean, **dict.fromkeys(NUMBER_METRICS)}
    if len(targets):
        values = number_metrics(np.full(len(targets), mean), targets, np.ones((1, len(targets))))
        facts |= {name: finite(values[name][0]) for name in ("mae", "rmse", "r2")}
    return facts


def _counts(targets: FloatArray, patients: np.ndarray) -> dict[str, Any]:
    known = bool(len(targets))
    return {
        "scans": len(targets),
        "patients": len(np.unique(patient_codes(patients))) if known else 0,
        "mean": float(targets.mean()) if known else None,
        "std": float(targets.std()) if known else None,
        "min": float(targets.min()) if known else None,
        "max": float(targets.max()) if known else None,
    }


def _cautions(facts: dict[str, Any]) -> list[str]:
    said = []
    for split in HELD_OUT:
        if not facts["counts"][split]["scans"]:
            said.append(f"There is no {split} scan: its metrics are null. Look into manifest.split.")
        elif reason := facts["bootstrap"][split]["reason"]:
            said.append(f"The {split} metrics have no interval: {reason}.")
    patients = facts["counts"]["test"]["patients"]
    if 0 < patients < FEW_PATIENTS:
        said.append(f"Intervals are wide and themselves rough: only {patients} test patients.")
    best, mae = facts["baseline"]["mae"], Estimate.from_json(facts["test"]["mae"])
    if best is not None and mae.high is not None and not mae.below(best):
        said.append(
            f"The mean absolute error is not clearly below {best:.4g}, which always answering the training "
            "split's mean reaches."
        )
    if facts["calibration"]["method"] == "none":
        said.append(f"Predictions come without an interval: {facts['calibration']['reason']}.")
    else:
        said.append(
            "The interval's width was measured on the scans that chose the epoch: it may be a little narrow."
        )
    return said


def _write(
    table: pd.DataFrame,
    on_test: np.ndarray,
    facts: dict[str, Any],
    width: float | None,
    name: str,
    output: Path,
) -> None:
    test = table[on_test]
    with replacing(output / "predictions.parquet") as temporary:
        table.to_parquet(temporary, index=False)
    with replacing(output / "plots" / "numbers.csv") as temporary:
        test[["label", "predicted", "low", "high"]].to_csv(temporary, index=False, lineterminator="\n")
    kept = ("method", "temperature", "half_width", "confidence")
    write_json(output / "calibration.json", {key: facts["calibration"][key] for key in kept})
    figures = output / "figures"
    # A report shows what lies here: nothing of an earlier run.
    if figures.is_dir():
        shutil.rmtree(figures)
    figures.mkdir(parents=True)
    if len(test):
        predicted, targets = test["predicted"].to_numpy(), test["label"].to_numpy()
        size = f"{len(test)} test scans of {facts['counts']['test']['patients']} patients"
        regression_figures.draw_scatter(
            figures / "scatter.png", predicted, targets, width, name, f"Predictions, {size}"
        )
        regression_figures.draw_bland_altman(
            figures / "bland_altman.png", predicted, targets, name, f"Errors, {size}"
        )
    write_text(output / "report.html", render_number_page(facts, figures))
    write_json(output / "metrics.json", dvc_metrics(facts))
    write_json(output / "evaluation.json", facts)

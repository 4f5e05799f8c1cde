"""Classes, assessed: calibrated on validation, scored on every split, with their prediction sets."""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import partial, singledispatch
from pathlib import Path

import numpy as np
import pandas as pd

from scanlens.config.schema import Evaluation
from scanlens.estimate import Estimate, json_of
from scanlens.evaluation import cautions, figures, plots
from scanlens.evaluation.assessment import Assessment, Predicted, assess
from scanlens.evaluation.calibration import (
    calibrated_probabilities,
    fit_temperature,
    negative_log_likelihood,
)
from scanlens.evaluation.conformal import prediction_sets, set_threshold
from scanlens.evaluation.coverage import set_facts
from scanlens.evaluation.members import spread_over_members
from scanlens.evaluation.metrics import ece
from scanlens.evaluation.ordinal import ordinal_estimates
from scanlens.evaluation.page import CLASS_PAGE
from scanlens.evaluation.predictions import build_predictions, check_parts, targets_of
from scanlens.evaluation.report import build_facts, majority_baseline
from scanlens.evaluation.scoring import SplitScore, score_split
from scanlens.evaluation.sets import with_sets
from scanlens.tasks import Classes, OrderedClasses, positive_class
from scanlens.types import SPLITS, Facts, FloatArray, IntArray


@assess.register
def _assess_classes(task: Classes, predicted: Predicted, config: Evaluation) -> Assessment:
    """Temperature from validation scans, metrics with intervals of every split, sets that keep a promise."""
    index, labels, members = predicted.index, predicted.labels, predicted.members
    check_parts(predicted.outputs, index, labels)
    positive = positive_class(labels, predicted.positive)
    logits = np.asarray(predicted.outputs, dtype=np.float64)
    targets = targets_of(index, labels)
    split = predicted.split

    on_val, on_test = split == "val", split == "test"
    method, temperature, warnings = _calibrate(logits[on_val], targets[on_val], config)
    table = build_predictions(logits, index, labels, temperature)
    probabilities = calibrated_probabilities(logits, temperature)
    scored: dict[str, SplitScore] = {
        name: score_split(
            name, table[split == name], probabilities[split == name], targets[split == name], labels, config
        )
        for name in SPLITS
        if name != "train" or (split == "train").any()
    }
    calibration = {
        "method": method,
        "temperature": temperature,
        "fitted_on": {"split": "val", "scans": int(on_val.sum())} if method != "none" else None,
        **{
            name: _before_after(logits[split == name], targets[split == name], temperature)
            for name in ("val", "test")
        },
    }
    test = scored["test"]
    sets = _threshold(probabilities[on_val], targets[on_val], config)
    if sets["threshold"] is not None:
        held = prediction_sets(probabilities, sets["threshold"])
        sets["test"] = set_facts(
            held[on_test],
            probabilities[on_test].argmax(axis=1),
            targets[on_test],
            table["patient"].to_numpy()[on_test],
            labels,
            config,
        )
        warnings += cautions.set_cautions(sets["test"], config.confidence)
        table = with_sets(table, held, labels)
    warnings = [
        *cautions.positive_cautions(positive),
        *cautions.overlap_cautions(table),
        *_test_first(scored),
        *warnings,
    ]
    facts = build_facts(scored, config, calibration, warnings) | {
        "sets": sets,
        "positive": None if positive is None else asdict(positive),
    }
    patients = table["patient"].to_numpy()
    for name in scored:
        own = split == name
        asked = replace(config, bootstrap=0) if name == "train" else config
        facts[name] |= json_of(further_metrics(task, probabilities[own], targets[own], patients[own], asked))
    if members is not None and (members >= 0).any():
        judged = members >= 0
        facts["members"] = spread_over_members(probabilities[judged], targets[judged], members[judged])

    promise = {"set_threshold": sets["threshold"], "confidence": config.confidence}
    only = None if positive is None else positive.label
    roc = plots.roc_table(probabilities[on_test], targets[on_test], labels, only)
    bins = plots.reliability_table(
        calibrated_probabilities(logits[on_test], 1.0), probabilities[on_test], targets[on_test]
    )
    return Assessment(
        table=table,
        facts=facts,
        calibration={"method": method, "temperature": temperature, **promise},
        plots={"roc": roc, "confusion": plots.confusion_table(table[on_test]), "reliability": bins},
        draw=partial(_draw, test, facts["calibration"]["test"], roc, bins),
        page=CLASS_PAGE,
    )


@singledispatch
def further_metrics(
    task: Classes, probabilities: FloatArray, targets: IntArray, patients: np.ndarray, config: Evaluation
) -> dict[str, Estimate]:
    """Metrics of one split beside those that all classes have.

    Args:
        task: What the classes are.
        probabilities: ``(scan, class)``.
        targets: ``(scan,)``.
        patients: ``(scan,)`` pseudonyms.
        config: Resamples, confidence and seed.
    """
    return {}


@further_metrics.register
def _(
    task: OrderedClasses,
    probabilities: FloatArray,
    targets: IntArray,
    patients: np.ndarray,
    config: Evaluation,
) -> dict[str, Estimate]:
    return ordinal_estimates(probabilities, targets, patients, config)


def _calibrate(logits: FloatArray, targets: IntArray, config: Evaluation) -> tuple[str, float, list[str]]:
    """Method used, temperature, and what is to be said about it, from validation scans alone."""
    if config.calibration == "none":
        return "none", 1.0, []
    if not len(targets):
        return "none", 1.0, cautions.calibration_cautions(1.0, logits, targets)
    temperature = fit_temperature(logits, targets)
    return "temperature", temperature, cautions.calibration_cautions(temperature, logits, targets)


def _threshold(probabilities: FloatArray, targets: IntArray, config: Evaluation) -> Facts:
    """From which probability a class is in a scan's set, by validation scans, or why there are no sets."""
    if config.calibration == "none":
        return {"threshold": None, "reason": "evaluation.calibration is none"}
    threshold = set_threshold(probabilities, targets, config.confidence)
    if threshold is None:
        return {
            "threshold": None,
            "reason": f"{len(targets)} validation scans are too few for this confidence",
        }
    return {"threshold": threshold, "confidence": config.confidence}


def _test_first(scored: dict[str, SplitScore]) -> list[str]:
    test = scored["test"]
    said = cautions.split_cautions(test)
    if test.scans:
        said += cautions.test_cautions(test, majority_baseline(test)["accuracy"])
    return said + cautions.split_cautions(scored["val"])


def _before_after(logits: FloatArray, targets: IntArray, temperature: float) -> Facts:
    """Nll and ece of one split at temperature 1 and at the fitted one."""
    facts: Facts = {}
    for name, value in (("before", 1.0), ("after", temperature)):
        facts[name] = {"nll": None, "ece": None}
        if len(targets):
            facts[name] = {
                "nll": negative_log_likelihood(logits, targets, value),
                "ece": ece(calibrated_probabilities(logits, value), targets),
            }
    return facts


def _draw(
    score: SplitScore,
    errors: dict[str, dict[str, float]],
    roc: pd.DataFrame,
    bins: pd.DataFrame,
    folder: Path,
) -> None:
    """The pictures of the test split."""
    size = f"{score.scans} test scans of {score.patients} patients"
    aucs = {label: score.estimate("auc", k).text(".3f", "-") for k, label in enumerate(score.labels)}
    figures.draw_roc(
        folder / "roc.png",
        roc,
        {label: f"{label}  {aucs[label]}" for label in score.labels},
        f"ROC, {size}",
        "No curve: the test split has fewer than two classes.",
    )
    figures.draw_confusion(folder / "confusion.png", score.confusion, score.labels, f"Confusion, {size}")
    names = {
        name: f"{name} calibration" + (f", ECE {errors[name]['ece']:.3f}" if score.scans else "")
        for name in ("before", "after")
    }
    figures.draw_reliability(folder / "reliability.png", bins, names, f"Reliability, {size}")

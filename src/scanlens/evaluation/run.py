"""From logits to everything a person or DVC reads about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from scanlens.atomic import replacing, write_json, write_text
from scanlens.config.schema import Evaluation
from scanlens.errors import SettingsError
from scanlens.estimate import json_of
from scanlens.evaluation import cautions, figures, plots
from scanlens.evaluation.calibration import (
    calibrated_probabilities,
    fit_temperature,
    negative_log_likelihood,
)
from scanlens.evaluation.conformal import prediction_sets, set_threshold
from scanlens.evaluation.coverage import set_facts
from scanlens.evaluation.members import spread_over_members
from scanlens.evaluation.metrics import IntArray, ece
from scanlens.evaluation.ordinal import ordinal_estimates
from scanlens.evaluation.page import render_page
from scanlens.evaluation.predictions import build_predictions, check_parts, targets_of
from scanlens.evaluation.report import baseline, build_facts, dvc_metrics
from scanlens.evaluation.scoring import SplitScore, score_split
from scanlens.evaluation.sets import with_sets
from scanlens.types import SPLITS, FloatArray


def evaluate(
    logits: FloatArray,
    index: pd.DataFrame,
    labels: list[str],
    config: Evaluation,
    output: Path,
    members: IntArray | None = None,
    task: str = "multiclass",
    known: Sequence[str] = (),
) -> dict[str, Any]:
    """Calibrate on the validation split, score every split, write the report.

    Writes predictions.parquet, calibration.json, metrics.json, evaluation.json, plots/{roc,confusion,
    reliability}.csv, figures/{roc,confusion,reliability}.png and report.html; each appears whole. Plots and
    figures are of the test split. No test label influences the temperature, the sets or any prediction.

    Args:
        logits: ``(scan, class)``, finite.
        index: One row a logit row: scan_id, patient, split (val, test, maybe train), site, label.
        labels: Class names in the logits' order; of two, the second is positive.
        config: Bootstrap, confidence, calibration and seed.
        output: Folder to write to; made if missing.
        members: ``(scan,)`` the one of several networks that judged a validation scan because it alone never
            learnt from it; negative where they judged together. None or all negative: there is one network.
        task: With ``ordinal`` the metrics of :data:`scanlens.evaluation.ordinal.ORDINAL` come on top.
        known: Further cautions for the report.

    Returns:
        The facts, as in evaluation.json.

    Raises:
        SettingsError: ``confidence`` or ``bootstrap`` is out of range.
        ScanlensError: Logits, index and labels do not fit together, or a logit is not finite.
    """
    check_settings(config)
    check_parts(logits, index, labels)
    scores64 = np.asarray(logits, dtype=np.float64)
    targets = targets_of(index, labels)
    split = index["split"].astype(str).to_numpy()

    on_val, on_test = split == "val", split == "test"
    method, temperature, warnings = _calibrate(scores64[on_val], targets[on_val], config)
    table = build_predictions(scores64, index, labels, temperature)
    probabilities = calibrated_probabilities(scores64, temperature)
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
            name: _before_after(scores64[split == name], targets[split == name], temperature)
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
    warnings = [*known, *cautions.overlap_cautions(table), *_test_first(scored), *warnings]
    facts = build_facts(scored, config, calibration, warnings) | {"sets": sets}
    if task == "ordinal":
        patients = table["patient"].to_numpy()
        for name in scored:
            own = split == name
            asked = replace(config, bootstrap=0) if name == "train" else config
            facts[name] |= json_of(ordinal_estimates(probabilities[own], targets[own], patients[own], asked))
    if members is not None and (members >= 0).any():
        judged = members >= 0
        facts["members"] = spread_over_members(probabilities[judged], targets[judged], members[judged])

    with replacing(output / "predictions.parquet") as temporary:
        table.to_parquet(temporary, index=False)
    promise = {"set_threshold": sets["threshold"], "confidence": config.confidence}
    write_json(output / "calibration.json", {"method": method, "temperature": temperature, **promise})
    _write_plots(
        scores64[on_test], probabilities[on_test], targets[on_test], table[on_test], test, facts, output
    )
    write_text(output / "report.html", render_page(facts, output / "figures"))
    write_json(output / "metrics.json", dvc_metrics(facts))
    write_json(output / "evaluation.json", facts)
    return facts


def check_settings(config: Evaluation) -> None:
    """Refuse settings out of range.

    Raises:
        SettingsError: ``confidence`` or ``bootstrap`` is.
    """
    if not 0.0 < config.confidence < 1.0:
        raise SettingsError(
            f"evaluation.confidence: expected a number between 0 and 1, got {config.confidence}."
        )
    if config.bootstrap < 0:
        raise SettingsError(f"evaluation.bootstrap: expected 0 or more resamples, got {config.bootstrap}.")


def _calibrate(logits: FloatArray, targets: IntArray, config: Evaluation) -> tuple[str, float, list[str]]:
    """Method used, temperature, and what is to be said about it, from validation scans alone."""
    if config.calibration == "none":
        return "none", 1.0, []
    if not len(targets):
        return "none", 1.0, cautions.calibration_cautions(1.0, logits, targets)
    temperature = fit_temperature(logits, targets)
    return "temperature", temperature, cautions.calibration_cautions(temperature, logits, targets)


def _threshold(probabilities: FloatArray, targets: IntArray, config: Evaluation) -> dict[str, Any]:
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
        said += cautions.test_cautions(test, baseline(test)["accuracy"])
    return said + cautions.split_cautions(scored["val"])


def _before_after(logits: FloatArray, targets: IntArray, temperature: float) -> dict[str, Any]:
    """Nll and ece of one split at temperature 1 and at the fitted one."""
    facts: dict[str, Any] = {}
    for name, value in (("before", 1.0), ("after", temperature)):
        facts[name] = {"nll": None, "ece": None}
        if len(targets):
            facts[name] = {
                "nll": negative_log_likelihood(logits, targets, value),
                "ece": ece(calibrated_probabilities(logits, value), targets),
            }
    return facts


def _write_plots(
    logits: FloatArray,
    probabilities: FloatArray,
    targets: IntArray,
    table: pd.DataFrame,
    score: SplitScore,
    facts: dict[str, Any],
    output: Path,
) -> None:
    """Tables and pictures of the test split."""
    roc = plots.roc_table(probabilities, targets, score.labels)
    bins = plots.reliability_table(calibrated_probabilities(logits, 1.0), probabilities, targets)
    tables = {"roc": roc, "confusion": plots.confusion_table(table), "reliability": bins}
    for name, content in tables.items():
        with replacing(output / "plots" / f"{name}.csv") as temporary:
            content.to_csv(temporary, index=False, lineterminator="\n")

    size = f"{score.scans} test scans of {score.patients} patients"
    aucs = {label: score.estimate("auc", k).text(".3f", "-") for k, label in enumerate(score.labels)}
    figures.draw_roc(
        output / "figures" / "roc.png",
        roc,
        {label: f"{label}  {aucs[label]}" for label in score.labels},
        f"ROC, {size}",
        "No curve: the test split has fewer than two classes.",
    )
    figures.draw_confusion(
        output / "figures" / "confusion.png", score.confusion, score.labels, f"Confusion, {size}"
    )
    errors = facts["calibration"]["test"]
    names = {
        name: f"{name} calibration" + (f", ECE {errors[name]['ece']:.3f}" if score.scans else "")
        for name in ("before", "after")
    }
    figures.draw_reliability(output / "figures" / "reliability.png", bins, names, f"Reliability, {size}")

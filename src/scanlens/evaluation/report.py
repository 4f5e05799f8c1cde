"""The facts of an evaluation as plain JSON values: no NaN, no clock, the same bytes for the same input."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from scanlens.config.schema import Evaluation
from scanlens.estimate import Estimate
from scanlens.evaluation.metrics import PER_CLASS, SCALARS
from scanlens.evaluation.scoring import SplitScore


def build_facts(
    scores: dict[str, SplitScore],
    config: Evaluation,
    calibration: dict[str, Any],
    warnings: list[str],
) -> dict[str, Any]:
    """Everything the report says.

    Args:
        scores: By split, test and val always among them.
        config: As used.
        calibration: Method, temperature, and nll and ece before and after.
        warnings: Plain sentences.

    Returns:
        ``test`` and ``val`` hold ``{metric: {value, low, high}}`` (with ``reason`` where null and ``note``
        where a macro value leaves classes out); ``per_class``, ``counts``, ``confusion``, ``baseline``,
        ``calibration``, ``bootstrap``, ``settings``, ``labels`` and ``warnings`` explain them.
    """
    test = scores["test"]
    return {
        "test": _split_metrics(test),
        "val": _split_metrics(scores["val"]),
        **({"train": _split_metrics(scores["train"])} if "train" in scores else {}),
        "baseline": majority_baseline(test),
        "calibration": calibration,
        "per_class": {name: _per_class_metrics(score) for name, score in scores.items()},
        "confusion": {name: score.confusion.tolist() for name, score in scores.items()},
        "counts": {name: _counts(score) for name, score in scores.items()},
        "bootstrap": {
            name: {
                "unit": "patient",
                "resamples": score.bootstrap.resamples,
                "redrawn": score.bootstrap.redrawn,
                "reason": score.bootstrap.reason or None,
            }
            for name, score in scores.items()
        },
        "settings": dataclasses.asdict(config),
        "labels": test.labels,
        "warnings": warnings,
    }


def dvc_metrics(facts: dict[str, Any]) -> dict[str, Any]:
    """The numbers ``dvc metrics`` follows: test with intervals, val as values.

    Example:
        >>> test = {"nll": {"value": None, "low": None, "high": None, "reason": "there is no test scan"}}
        >>> dvc_metrics({"test": test, "val": {"nll": {"value": 0.4, "low": 0.3, "high": 0.5}}})
        {'test': {'nll': {'value': None, 'low': None, 'high': None}}, 'val': {'nll': 0.4}}
    """
    return {
        "test": {name: Estimate.from_json(entry).bounds() for name, entry in facts["test"].items()},
        "val": {name: entry["value"] for name, entry in facts["val"].items()},
    }


def _split_metrics(score: SplitScore) -> dict[str, dict[str, Any]]:
    """``{metric: {value, low, high}}`` of one split."""
    facts = {}
    for name in SCALARS:
        entry = score.estimate(name).to_json()
        if entry["value"] is not None and score.absent and name.endswith("macro"):
            rest = len(score.labels) - len(score.absent)
            absent = ", ".join(score.absent)
            entry["note"] = f"over {rest} of {len(score.labels)} classes: no {score.name} scan of {absent}"
        facts[name] = entry
    return facts


def _per_class_metrics(score: SplitScore) -> dict[str, dict[str, Any]]:
    """``{label: {scans, patients, auc, sensitivity, specificity, f1}}`` of one split."""
    facts: dict[str, dict[str, Any]] = {}
    for k, label in enumerate(score.labels):
        facts[label] = {"scans": int(score.label_scans[k]), "patients": int(score.label_patients[k])}
        for name in PER_CLASS:
            facts[label][name] = score.estimate(name, k).to_json()
    return facts


def majority_baseline(score: SplitScore) -> dict[str, Any]:
    """What answering without looking reaches: always the split's most frequent class.

    Its ``nll`` is that of always stating the split's own class shares.
    """
    if not score.scans:
        return {"class": None, "accuracy": None, "balanced_accuracy": None, "auc_macro": None, "nll": None}
    shares = score.label_scans[score.label_scans > 0] / score.scans
    return {
        "class": score.labels[int(score.label_scans.argmax())],
        "accuracy": float(shares.max()),
        "balanced_accuracy": 1.0 / len(shares),
        "auc_macro": 0.5,
        "nll": float(-(shares * np.log(shares)).sum()),
    }


def _counts(score: SplitScore) -> dict[str, Any]:
    return {
        "scans": score.scans,
        "patients": score.patients,
        "unknown_patients": score.unknown_patients,
        "sites": score.sites,
        "labels": {label: int(scans) for label, scans in zip(score.labels, score.label_scans, strict=True)},
    }


def tracked_metrics(facts: dict[str, Any]) -> dict[str, float]:
    """The numbers of a report by the names MLflow shows: ``test.auc_macro``, its ``.low``.

    Example:
        >>> test, val = {"nll": {"value": 0.5, "low": 0.4, "high": 0.6}}, {"nll": {"value": None}}
        >>> tracked_metrics({"test": test, "val": val, "calibration": {"temperature": 1.5}})
        {'test.nll': 0.5, 'test.nll.low': 0.4, 'test.nll.high': 0.6, 'calibration.temperature': 1.5}
    """
    flat: dict[str, float] = {}
    for split in ("test", "val"):
        for name, entry in facts[split].items():
            for part in ("value", "low", "high"):
                if entry.get(part) is not None:
                    flat[f"{split}.{name}" + ("" if part == "value" else f".{part}")] = float(entry[part])
    for name in ("temperature", "half_width"):
        if facts["calibration"].get(name) is not None:
            flat[f"calibration.{name}"] = float(facts["calibration"][name])
    for name in ("coverage", "size", "abstained"):
        if "test" in facts.get("sets", {}) and facts["sets"]["test"][name]["value"] is not None:
            flat[f"sets.{name}"] = float(facts["sets"]["test"][name]["value"])
    return flat

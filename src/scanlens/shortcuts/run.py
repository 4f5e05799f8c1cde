"""Shortcut probes: does the network judge by the border, by marks or by origin instead of by the anatomy?

Parts of the test scans are hidden and what is left is judged again; features are asked where a scan comes
from; maps are asked where they lie. Every probe ends in a verdict: found, not found, cannot tell. What that
can and cannot mean is in docs/shortcuts.md.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from scanlens.config.schema import Shortcuts
from scanlens.estimate import Estimate
from scanlens.evaluation.calibration import calibrated_probabilities
from scanlens.evaluation.evaluated import Evaluated
from scanlens.evaluation.intervals import patient_codes
from scanlens.evaluation.metrics import auc_macro, auc_per_class
from scanlens.models.ensemble import Network
from scanlens.preprocess.store import Store
from scanlens.scaling.device import Machine
from scanlens.shortcuts import numbers
from scanlens.shortcuts.asking import Answers, ask
from scanlens.shortcuts.marks import LEAST_SIDE
from scanlens.shortcuts.mass import Mass, weigh
from scanlens.shortcuts.origin_verdicts import judge_origin
from scanlens.shortcuts.origins import origins
from scanlens.shortcuts.page import write_shortcuts_page
from scanlens.shortcuts.regions import coverage
from scanlens.shortcuts.verdicts import (
    ProbeVerdict,
    Resampling,
    Weighted,
    estimates,
    too_few,
    verdict_of,
)
from scanlens.shortcuts.views import (
    BACKGROUND_MASKED,
    FOREGROUND_MASKED,
    MARKS_MASKED,
    MARKS_ONLY,
    VIEWS,
    Masker,
    mean_scan,
    partners,
)
from scanlens.shortcuts.wording import (
    LOST,
    QUESTIONS,
    REMAINS,
    fact,
)
from scanlens.types import FloatArray

AVERAGE_MAPS = "average-maps.npy"
"""float32 ``(class, *grid)``: mean probability map of each class over the scans that are labelled so."""
_PICTURED = 4
_LEAST_OUTSIDE = 0.02
"""Share of the scan that must be outside of the body to ask about it."""
_LEAST_MARKED = 0.03
"""Share of the scans that must have a mark to ask about marks."""
_FEWEST_MARKED = 5


def probe_test_split(
    evaluated: Evaluated, maps: Path, settings: Shortcuts, machine: Machine, output: Path
) -> dict[str, Any]:
    """Stage shortcuts as one call: :func:`probe_shortcuts` over the test split, or the reason for none.

    Args:
        evaluated: The classifier and its scans.
        maps: File of the test split's probability maps (:data:`scanlens.maps.files.MAPS`).
        settings: Section ``shortcuts``.
        machine: Device and batch size.
        output: Receives the page and its pictures.
    """
    if not evaluated.store.task.has_classes:
        task = evaluated.store.task.name
        return {"scans": 0, "reason": f"shortcut probes are for classes, and data.task is {task}"}
    if not settings.scans:
        return {"scans": 0, "reason": "shortcuts.scans is 0"}
    return probe_shortcuts(
        evaluated.network,
        evaluated.store,
        evaluated.predictions,
        evaluated.temperature,
        evaluated.statistics,
        np.load(maps, mmap_mode="r"),
        settings,
        machine,
        output,
    )


def tracked_probes(facts: dict[str, Any]) -> dict[str, float]:
    """How many probes found a shortcut, for a run's tracking; empty where none was asked."""
    if not facts["scans"]:
        return {}
    found = [probe for probe in facts["probes"] if probe["verdict"] == "found"]
    return {"shortcuts.found": float(len(found))}


def probe_shortcuts(
    network: Network,
    store: Store,
    predictions: pd.DataFrame,
    temperature: float,
    statistics: dict[str, object],
    maps: npt.NDArray[np.floating],
    settings: Shortcuts,
    machine: Machine,
    output: Path,
    split: str = "test",
) -> dict[str, Any]:
    """Run every probe on the scans of a split.

    Args:
        network: The trained network.
        store: The preprocessed scans, of classes (numbers have no probes).
        predictions: Evaluation's table, with the split's scans.
        temperature: The calibration's.
        statistics: That the network was trained with.
        maps: Probability maps ``(scan, class, *grid)``, memory-mapped, rows as ``store.rows(split)``.
        settings: How much is looked at.
        machine: Batch size and device.
        output: Folder that receives ``average-maps.npy``, the pictures and ``shortcuts.html``.
        split: Whose scans.

    Returns:
        Facts for ``shortcuts.json``: ``verdict``, ``sentence``, ``scans``, ``patients``, ``auc``,
        ``confidence``, ``looks`` and ``probes``, one entry a probe
        (:func:`scanlens.shortcuts.wording.fact`).
    """
    output.mkdir(parents=True, exist_ok=True)
    everything = store.rows(split)
    positions = _chosen(store.index.iloc[everything], settings)
    rows = everything[positions]
    index = store.index.iloc[rows].reset_index(drop=True)
    targets, patients = store.targets(rows), index["patient"].to_numpy(dtype=object)
    logits = _logits(predictions, index, store.labels)
    whole = calibrated_probabilities(logits, temperature)

    masker = Masker(mean_scan(store, machine.batch_size), settings.border)
    answers = ask(
        network,
        store,
        rows,
        rows[partners(patients, settings.seed)],
        statistics,
        masker,
        tuple(maps.shape[2:]),
        _pictured(targets),
        machine.batch_size,
        machine.device,
    )
    regions = {
        "border": coverage(masker.border, maps.shape[2:]),
        "corners": coverage(masker.corners, maps.shape[2:]),
        "outside": answers.outside,
    }
    mass = weigh(maps, positions, targets, whole.argmax(axis=1), regions)
    np.save(output / AVERAGE_MAPS, mass.average.astype(np.float32))

    views = {
        name: calibrated_probabilities(_levelled(answers.logits[name], logits), temperature) for name in VIEWS
    }
    missing = _unanswerable(answers, store.shape)
    asked = {
        name: number
        for name, number in _numbers(whole, views, mass, answers, targets).items()
        if name.partition("/")[0] not in missing
    }
    sources = list(origins(index))
    # An origin is claimed only where both of its numbers are high, so it is one look.
    looks = len(asked) + len(sources)
    shared = Resampling(looks, settings.bootstrap, settings.confidence, settings.seed)
    reason = too_few(targets, patients)
    found = estimates(asked | {"auc": numbers.auc(whole, targets)}, targets, patients, shared)
    found |= {name: Estimate(None, reason=why) for name, why in missing.items()}
    probes = [_fact(name, found, reason, whole, views, targets, store.labels) for name in QUESTIONS]
    probes += [judge_origin(origin, answers.features, store, index, reason, shared) for origin in sources]
    verdict = _overall([probe["verdict"] for probe in probes])
    facts = {
        "verdict": verdict,
        "sentence": _summary(verdict, probes),
        "scans": len(rows),
        "patients": len(np.unique(patient_codes(patients))),
        "auc": found["auc"].value,
        "confidence": settings.confidence,
        "looks": looks,
        "probes": probes,
    }
    write_shortcuts_page(
        output, facts, answers.examples, [store.labels[target] for target in targets], mass.average, store
    )
    return facts


def _chosen(index: pd.DataFrame, settings: Shortcuts) -> npt.NDArray[np.int64]:
    """Positions of whole patients, drawn until there are as many scans as asked for; ascending."""
    if len(index) <= settings.scans:
        return np.arange(len(index))
    people = index["patient"].where(index["patient"] != "", index["scan_id"]).to_numpy()
    codes = pd.factorize(people)[0]
    order = np.random.default_rng(settings.seed).permutation(codes.max() + 1)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return np.sort(np.argsort(rank[codes], kind="stable")[: settings.scans])


def _logits(predictions: pd.DataFrame, index: pd.DataFrame, labels: list[str]) -> FloatArray:
    table = predictions.set_index("scan_id").loc[index["scan_id"]]
    return table[[f"logit_{label}" for label in labels]].to_numpy(np.float64)


def _levelled(logits: FloatArray, whole: FloatArray) -> FloatArray:
    """Logits of a view at the mean level of the whole scans'.

    What hiding a part adds to every scan alike tells nothing of a label, but would move the classes against
    one another: a network that saw a mark on every scan leans to some class where there is none.
    """
    return logits - logits.mean(axis=0) + whole.mean(axis=0)


def _pictured(targets: npt.NDArray[np.int64]) -> set[int]:
    """Positions of a scan of each of the first classes."""
    return {int(np.argmax(targets == target)) for target in np.unique(targets)[:_PICTURED]}


def _unanswerable(answers: Answers, shape: tuple[int, ...]) -> dict[str, str]:
    """Why a probe cannot be asked of these scans, by its name."""
    missing: dict[str, str] = {}
    scans = len(answers.bodies)
    around = answers.outside.reshape(scans, -1).mean()
    if answers.bodies.mean() < 0.5 or around < _LEAST_OUTSIDE:
        why = "no body stands out" if answers.bodies.mean() < 0.5 else "the body fills the scans"
        missing |= dict.fromkeys((BACKGROUND_MASKED, FOREGROUND_MASKED, "map_outside"), why)
    marked = int((answers.marks.reshape(scans, -1).sum(axis=1) > 0).sum())
    if len(shape) == 4:
        why = "marks are looked for in images, not in volumes"
    elif max(shape[1:]) < LEAST_SIDE:
        why = f"marks are not to be told from noise below {LEAST_SIDE} pixels a side"
    elif marked < max(_FEWEST_MARKED, _LEAST_MARKED * scans):
        why = f"burned-in marks were found in {marked} of {scans} scans"
    else:
        return missing
    return missing | dict.fromkeys((MARKS_MASKED, MARKS_ONLY, "marks_area"), why)


def _numbers(
    whole: FloatArray,
    views: dict[str, FloatArray],
    mass: Mass,
    answers: Answers,
    targets: npt.NDArray[np.int64],
) -> dict[str, Weighted]:
    """The number of every probe but the origins, as a function of weights."""
    complete = numbers.auc(whole, targets)
    asked = {}
    for name in VIEWS:
        left = numbers.auc(views[name], targets)
        asked[name] = numbers.paired_difference(complete, left) if QUESTIONS[name].measure == LOST else left
        if QUESTIONS[name].measure == REMAINS and len(np.unique(targets)) > 2:
            # The mean over classes hides a part that gives one class away.
            for target in np.unique(targets):
                pair = np.stack([1 - views[name][:, target], views[name][:, target]], axis=1)
                asked[f"{name}/{target}"] = numbers.auc(pair, (targets == target).astype(np.int64))
    for name, inside in mass.predicted.items():
        share = inside / np.maximum(mass.total, np.finfo(np.float64).tiny)
        asked[f"map_{name}"] = numbers.ratio_of_means(share, mass.area[name])
    area = answers.marks.reshape(len(answers.marks), -1).mean(axis=1)
    asked["marks_area"] = numbers.strongest_rank_correlation(area, mass.level)
    return asked


def _fact(
    name: str,
    found: dict[str, Estimate],
    reason: str,
    whole: FloatArray,
    views: dict[str, FloatArray],
    targets: npt.NDArray[np.int64],
    labels: list[str],
) -> dict[str, Any]:
    question, estimate = QUESTIONS[name], found[name]
    reason = estimate.reason or reason
    if reason:
        return fact(name, question, Estimate(estimate.value, reason=reason), "cannot tell")
    details: dict[str, Any] = {}
    if name in views:
        by_class = dict(zip(labels, auc_per_class(views[name], targets).tolist(), strict=True))
        details = {
            "auc": auc_macro(views[name], targets),
            "auc_by_class": {label: None if np.isnan(own) else own for label, own in by_class.items()},
            "accuracy": float((views[name].argmax(axis=1) == targets).mean()),
            "accuracy_whole": float((whole.argmax(axis=1) == targets).mean()),
        }
    told = [
        key
        for key in found
        if key.startswith(f"{name}/") and verdict_of(found[key], question.threshold) == "found"
    ]
    if told and verdict_of(estimate, question.threshold) != "found":
        best = max(told, key=lambda key: found[key].low or 0.0)
        label = labels[int(best.rpartition("/")[2])]
        question = replace(question, measure=f"{question.measure}, {label} against the rest")
        return fact(name, question, found[best], "found", label=label, **details)
    return fact(name, question, estimate, verdict_of(estimate, question.threshold), **details)


def _overall(verdicts: list[ProbeVerdict]) -> ProbeVerdict:
    if "found" in verdicts:
        return "found"
    return "not found" if "not found" in verdicts else "cannot tell"


def _summary(verdict: ProbeVerdict, probes: list[dict[str, Any]]) -> str:
    titles = {word: [probe["title"].lower() for probe in probes if probe["verdict"] == word]
              for word in ("found", "not found", "cannot tell")}  # fmt: skip
    if verdict == "found":
        return f"The network takes a shortcut, say {len(titles['found'])} of {len(probes)} probes: " + (
            ", ".join(titles["found"]) + "."
        )
    if verdict == "not found":
        rest = f"; undecided: {', '.join(titles['cannot tell'])}" if titles["cannot tell"] else ""
        return f"No shortcut was found by {len(titles['not found'])} of {len(probes)} probes{rest}."
    return f"Cannot tell: none of {len(probes)} probes could decide."

"""What the scores say as plain JSON values: estimates, verdicts, and sentences for checks that failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scanlens.estimate import JsonEstimate, json_of
from scanlens.map_scores.controls import CONTROLS, Verdict, against_control
from scanlens.map_scores.estimates import Estimator
from scanlens.map_scores.fidelity import BETTER, areas, fractions
from scanlens.map_scores.lesions import AREA, CHANCE, LESION_SCORES, NEAR_AREA, lesion_estimates
from scanlens.map_scores.randomisation import TOLERATED, Cascade
from scanlens.map_scores.sample import Sample
from scanlens.types import FloatArray, IntArray

RANDOM_WEIGHTS = "random_weights"
"""The control of the randomisation check: the same kind of map of a network that has learnt nothing."""
NO_MASKS = "no scan of the sample has a lesion mask"

Scores = Mapping[str, Mapping[str, FloatArray]]
"""``(scan,)`` or ``(scan, draw)`` by kind and score."""


def lesion_facts(
    sample: Sample, kinds: Sequence[str], scores: Scores, indices: IntArray, estimator: Estimator
) -> tuple[dict[str, Any], list[Verdict]]:
    """Lesion scores of all kinds and controls, in all and by label.

    Args:
        sample: The scans.
        kinds: Names of the kinds, without controls.
        scores: Of :func:`scanlens.map_scores.lesions.score_all`.
        indices: The scans that have a mask.
        estimator: Of the whole sample.

    Returns:
        ``scans``, ``chance``, ``chance_near``, ``kinds`` and ``per_label``, or a ``reason``; and a verdict of
        every kind against every control and against chance.
    """
    if not len(indices):
        return {"scans": 0, "reason": NO_MASKS}, []
    own = estimator.of(indices)
    verdicts = []
    for kind in kinds:
        for score in LESION_SCORES:
            verdicts += [
                against_control(own, kind, control, score, scores[kind][score], scores[control][score])
                for control in CONTROLS
            ]
            chance = scores[kind][CHANCE[score]]
            verdicts.append(against_control(own, kind, "chance", score, scores[kind][score], chance))
    return {
        **_lesion_estimates(scores, own),
        "per_label": {
            sample.labels[label]: _lesion_estimates(
                {kind: {name: column[part] for name, column in of.items()} for kind, of in scores.items()},
                own.of(part),
            )
            for label in np.unique(sample.targets[indices])
            if len(part := np.flatnonzero(sample.targets[indices] == label))
        },
    }, verdicts


def _lesion_estimates(scores: Scores, estimator: Estimator) -> dict[str, Any]:
    first = next(iter(scores.values()))
    chance = estimator.means({name: first[name] for name in (AREA, NEAR_AREA)})
    return {
        "scans": len(first[AREA]),
        "chance": chance[AREA].to_json(),
        "chance_near": chance[NEAR_AREA].to_json(),
        "kinds": {kind: json_of(lesion_estimates(own, estimator)) for kind, own in scores.items()},
    }


def fidelity_facts(
    sample: Sample, kinds: Sequence[str], curves: Scores, indices: IntArray, estimator: Estimator, steps: int
) -> tuple[dict[str, Any], list[Verdict]]:
    """Curves and the areas under them, in all and by predicted class.

    Args:
        sample: The scans.
        kinds: Names of the kinds, without controls.
        curves: Of :func:`scanlens.map_scores.fidelity.score_curves`.
        indices: The scans they are of.
        estimator: Of the whole sample.
        steps: Of the curves.
    """
    if not len(indices):
        return {"scans": 0, "reason": "map_scores.curve_scans is 0"}, []
    own = estimator.of(indices)
    found = {kind: areas(dict(of), steps) for kind, of in curves.items()}
    verdicts = [
        against_control(own, kind, control, score, found[kind][score], found[control][score], better)
        for kind in kinds
        for score, better in BETTER.items()
        for control in CONTROLS
    ]
    predicted = sample.predicted[indices]
    return {
        "scans": len(indices),
        "fractions": {name: shares.tolist() for name, shares in fractions(steps).items()},
        "kinds": {
            kind: {
                **json_of(own.means(of)),
                "curves": {name: own.curve(curves[kind][name]) for name in curves[kind]},
            }
            for kind, of in found.items()
        },
        "per_predicted": {
            sample.labels[label]: {
                "scans": len(part),
                "kinds": {
                    kind: json_of(own.of(part).means({name: area[part] for name, area in of.items()}))
                    for kind, of in found.items()
                },
            }
            for label in np.unique(predicted)
            if len(part := np.flatnonzero(predicted == label))
        },
    }, verdicts


def repeatability_facts(
    changed: Scores | str, members: Scores | str, scans: int, estimator: Estimator
) -> dict[str, Any]:
    """How much maps hold still.

    Args:
        changed: Similarities over changes of the scan, or the reason why there are none.
        members: Similarities over members of an ensemble, or the reason.
        scans: In the sample.
        estimator: Of the sample.
    """
    return {
        name: {"scans": 0, "reason": found}
        if isinstance(found, str)
        else {"scans": scans, "kinds": {kind: json_of(estimator.means(of)) for kind, of in found.items()}}
        for name, found in (("changes", changed), ("members", members))
    }


def randomisation_facts(
    steps: Cascade,
    trained: Scores,
    changed: Scores | str,
    indices: IntArray,
    scans: int,
    estimator: Estimator,
) -> tuple[dict[str, Any], list[Verdict], list[str]]:
    """What is left of the maps when the weights go.

    Args:
        steps: The cascade.
        trained: Lesion scores of the trained network's maps.
        changed: Similarities over changes of the scan, as :func:`repeatability_facts` takes them.
        indices: The scans that have a mask.
        scans: In the sample.
        estimator: Of the whole sample.

    Returns:
        Facts; verdicts of the trained network's maps against those of a wholly random one; and a sentence
        for every kind whose random maps still find lesions (beyond :data:`TOLERATED`), or stay as like the
        trained ones as these are to themselves after small changes of the scan.
    """
    own = estimator.of(indices)
    levels = [
        {
            "share": share,
            "kinds": {
                kind: json_of(estimator.means(similar) | own.means(lesions.get(kind, {})))
                for kind, similar in alike.items()
            },
        }
        for share, alike, lesions in zip(steps.shares, steps.alike, steps.lesions, strict=True)
    ]
    verdicts, failed, above = [], [], {}
    whole_alike, whole_lesions = steps.alike[-1], steps.lesions[-1]
    for kind, scores in whole_lesions.items():
        if not scores:
            continue
        beyond = own.means({name: scores[name] - scores[CHANCE[name]] for name in LESION_SCORES})
        above[kind] = json_of(beyond)
        for score in LESION_SCORES:
            verdicts.append(
                against_control(own, kind, RANDOM_WEIGHTS, score, trained[kind][score], scores[score])
            )
            gain = (trained[kind][score] - trained[kind][CHANCE[score]])[:, None]
            left = own.means({score: scores[score] - scores[CHANCE[score]] - TOLERATED * gain})[score]
            if left.above(0):
                failed.append(
                    f"{kind}: of a network with random weights it still scores above chance in {score}, "
                    f"by {beyond[score].text('.3g')}."
                )
    for kind, scores in whole_alike.items():
        if isinstance(changed, str):
            break
        gap = estimator.means({"spearman": changed[kind]["spearman"][:, None] - scores["spearman"]})[
            "spearman"
        ]
        if not gap.above(0):
            failed.append(
                f"{kind}: with random weights it stays as like itself as after small changes of the scan "
                f"(difference of Spearman correlations {gap.text('.3g')})."
            )
    facts = {
        "scans": scans,
        "networks": next(iter(whole_alike.values()))["spearman"].shape[1],
        "levels": levels,
        "above_chance": above,
    }
    return facts, verdicts, failed


def sentence(verdict: Verdict) -> str:
    """What a verdict that is not "beats" says; empty where it is."""
    if verdict.verdict == "beats":
        return ""
    says = "is worse than" if verdict.verdict == "loses" else "cannot be told from"
    return (
        f"{verdict.kind}: {says} {verdict.control.replace('_', ' ')} in {verdict.score}, by "
        f"{verdict.difference.text('.3g')}; {verdict.better} is better."
    )


def tracked_map_scores(facts: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a run's tracking: ``scores.<kind>.<score>``.

    Args:
        facts: Of :func:`scanlens.map_scores.run.score_test_split`; none where nothing was scored.
    """
    if not facts["scans"]:
        return {}
    found: dict[str, JsonEstimate] = {}
    for part in ("lesions", "fidelity"):
        for kind, scores in facts[part].get("kinds", {}).items():
            found |= {f"{kind}.{name}": value for name, value in scores.items() if name != "curves"}
    for name, part in facts["repeatability"].items():
        for kind, scores in part.get("kinds", {}).items():
            found |= {f"{kind}.{score}_over_{name}": value for score, value in scores.items()}
    for kind, scores in facts["randomisation"].get("levels", [{"kinds": {}}])[-1]["kinds"].items():
        found |= {f"{kind}.{RANDOM_WEIGHTS}.{name}": value for name, value in scores.items()}
    numbers = {
        f"scores.{name}": float(one["value"]) for name, one in found.items() if one["value"] is not None
    }
    return {**numbers, "scores.failed": float(len(facts["failed"]))}

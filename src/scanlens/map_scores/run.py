"""All scores of maps in one call: lesions, curves, repeatability and the random network, with controls."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from scanlens.config.schema import MapScores
from scanlens.errors import SettingsError
from scanlens.evaluation.evaluated import Evaluated
from scanlens.evaluation.intervals import patient_codes
from scanlens.map_scores.controls import CONTROLS
from scanlens.map_scores.estimates import Estimator
from scanlens.map_scores.facts import (
    Scores,
    fidelity_facts,
    lesion_facts,
    randomisation_facts,
    repeatability_facts,
    sentence,
)
from scanlens.map_scores.fidelity import score_curves
from scanlens.map_scores.figures import draw_curves, draw_lesions, draw_randomisation
from scanlens.map_scores.kinds import MapFunction, MapKinds
from scanlens.map_scores.lesions import score_all, scored_indices
from scanlens.map_scores.pictures import draw
from scanlens.map_scores.randomisation import cascade
from scanlens.map_scores.repeatability import over_changes, over_members
from scanlens.map_scores.sample import MaskReader, Sample, stratified
from scanlens.maps.masks import mask_reader
from scanlens.models.ensemble import Ensemble, Network, is_linear
from scanlens.types import FloatArray

if TYPE_CHECKING:
    from scanlens.preprocess.store import Store
    from scanlens.scaling.device import Machine

FIGURES = {
    "map_curves.png": draw_curves,
    "map_lesions.png": draw_lesions,
    "map_randomisation.png": draw_randomisation,
}
"""Pictures by file name; each says so where its part was left out."""


def score_test_split(
    evaluated: Evaluated, settings: MapScores, machine: Machine, figures: Path
) -> dict[str, Any]:
    """Stage map_scores as one call: facts of :func:`score_maps` over the test split, or the reason for none.

    Args:
        evaluated: The classifier and its scans.
        settings: Section ``map_scores``.
        machine: Device and batch size.
        figures: Receives :data:`FIGURES`.
    """
    store = evaluated.store
    if not store.task.has_classes:
        return {"scans": 0, "reason": f"scores of maps are for classes, and data.task is {store.task.name}"}
    if not settings.scans:
        return {"scans": 0, "reason": "map_scores.scans is 0"}
    return score_maps(
        evaluated.network,
        store,
        store.rows("test"),
        evaluated.predictions,
        evaluated.temperature,
        evaluated.statistics,
        mask_reader(store, evaluated.folder, evaluated.root),
        settings,
        machine,
        figures=figures,
    )


def score_maps(
    network: Network,
    store: Store,
    rows: npt.NDArray[np.integer],
    predictions: pd.DataFrame,
    temperature: float,
    statistics: dict[str, Any],
    masks: MaskReader,
    settings: MapScores,
    machine: Machine,
    *,
    further: Mapping[str, MapFunction | FloatArray] | None = None,
    figures: Path | None = None,
) -> dict[str, Any]:
    """Score the maps of a sample of scans.

    Args:
        network: Trained.
        store: The preprocessed scans.
        rows: Store rows to draw the sample from, e.g. the test split's.
        predictions: Evaluation's table; columns scan_id, patient, label, predicted for these rows.
        temperature: The calibration's.
        statistics: The network's input is standardised with.
        masks: From a scan_id to its lesion mask ``(*spatial)`` in the store's geometry, or None.
        settings: How much is scored.
        machine: Device and batch size.
        further: More kinds of map, see :class:`scanlens.map_scores.kinds.MapKinds`; arrays have a
            first axis like ``rows``.
        figures: Folder for :data:`FIGURES`, or None.

    Returns:
        JSON-ready: ``scans``, ``patients``, ``settings``, ``kinds``; ``lesions``, ``fidelity``,
        ``repeatability`` and ``randomisation`` (each with a ``reason`` where it was left out);
        ``verdicts``; and ``failed``, a sentence for every check that failed.

    Raises:
        SettingsError: There is no scan, the task is regression, or predictions or a mask do not fit.
        ScanlensError: A map is not finite.
    """
    if not len(rows) or not store.task.has_classes:
        raise SettingsError(
            "There are no scans to score maps of."
            if not len(rows)
            else f"Scores of maps are for classes, and data.task is {store.task.name}.",
            "Set map_scores.scans=0.",
        )
    torch.backends.cudnn.allow_tf32 = False
    network = network.to(machine.device).eval()
    if len(store.shape) == 3:
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    labels = store.index["label"].iloc[rows].astype(str).to_numpy()
    chosen = stratified(labels, settings.scans, settings.seed)
    sample = Sample(
        store, rows[chosen], predictions, statistics, masks,
        batch_size=machine.batch_size, device=machine.device, seed=settings.seed,
    )  # fmt: skip
    kinds = MapKinds(temperature, further, linear=is_linear(network))
    of_label, of_predicted = draw(network, sample, kinds, chosen, (sample.targets, sample.predicted))
    estimator = Estimator(sample.patients, settings)

    indices = scored_indices(sample)
    found = score_all(sample, of_label, of_label.names, indices)
    lesions, verdicts = lesion_facts(sample, kinds.names, found, indices, estimator)

    some = stratified(labels[chosen], settings.curve_scans, settings.seed)
    curves = score_curves(network, sample, of_predicted, some, temperature, settings.steps)
    fidelity, more = fidelity_facts(sample, kinds.names, curves, some, estimator, settings.steps)
    verdicts += more

    changed: Scores | str = "map_scores.changes is 0"
    if settings.changes:
        changed = over_changes(network, sample, kinds, of_label, settings)
    members: Scores | str = "there is one network, not an ensemble: training.folds trains several"
    if isinstance(network, Ensemble):
        members = over_members(network.networks(), sample, kinds)

    randomisation: dict[str, Any] = {"scans": 0, "reason": "map_scores.randomisations is 0"}
    failed: list[str] = []
    if settings.randomisations:
        steps = cascade(network, sample, kinds, of_label, indices, settings)
        randomisation, more, failed = randomisation_facts(
            steps, found, changed, indices, len(sample), estimator
        )
        verdicts += more
    facts: dict[str, Any] = {
        "scans": len(sample),
        "of": len(rows),
        "patients": len(np.unique(patient_codes(sample.patients))),
        "settings": dataclasses.asdict(settings),
        "kinds": kinds.names,
        "controls": list(CONTROLS),
        "lesions": lesions,
        "fidelity": fidelity,
        "repeatability": repeatability_facts(changed, members, len(sample), estimator),
        "randomisation": randomisation,
        "verdicts": [verdict.to_json() for verdict in verdicts],
        "failed": [said for verdict in verdicts if (said := sentence(verdict))] + failed,
    }
    if figures is not None:
        figures.mkdir(parents=True, exist_ok=True)
        for name, paint in FIGURES.items():
            paint(figures / name, facts)
    return facts

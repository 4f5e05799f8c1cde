"""The patient bootstrap against a brute-force loop, and its laws."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from scanlens.evaluation import intervals
from scanlens.evaluation.intervals import BIASED, Bootstrap, patient_codes, patient_intervals
from scanlens.evaluation.metrics import all_metrics

SETTINGS: dict[str, Any] = {"resamples": 120, "confidence": 0.9, "seed": 11}


def case(scans: int, classes: int, per_patient: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities, targets and patients; one patient's scans share a label and an error."""
    generator = np.random.default_rng(scans)
    number = np.arange(scans) // per_patient
    targets = number % classes
    logits = 0.3 * generator.normal(size=(scans, classes)) + generator.normal(size=(scans, classes))[number]
    logits[np.arange(scans), targets] += 1.0
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return probabilities, targets, np.array([f"p{n}" for n in number])


def brute_force(
    probabilities: np.ndarray, targets: np.ndarray, patients: np.ndarray
) -> dict[str, np.ndarray]:
    """Draw patients, gather their scans, score by scikit-learn, one resample after the other."""
    generator = np.random.default_rng(SETTINGS["seed"])
    names = list(dict.fromkeys(patients))
    values: dict[str, list[np.ndarray]] = {}
    kept = 0
    while kept < SETTINGS["resamples"]:
        counts = generator.multinomial(len(names), np.full(len(names), 1 / len(names)))
        drawn = [
            row
            for name, n in zip(names, counts, strict=True)
            for row in np.flatnonzero(patients == name).repeat(n)
        ]
        if len(np.unique(targets[drawn])) < len(np.unique(targets)):
            continue
        kept += 1
        for name, value in all_metrics(probabilities[drawn], targets[drawn]).items():
            values.setdefault(name, []).append(value)
    return {name: np.stack(samples) for name, samples in values.items()}


@pytest.mark.parametrize(("scans", "classes"), [(60, 2), (36, 4)])
def test_intervals_equal_a_brute_force_loop(scans: int, classes: int) -> None:
    probabilities, targets, patients = case(scans, classes)
    found = patient_intervals(probabilities, targets, patients, **SETTINGS)
    looped = brute_force(probabilities, targets, patients)
    assert found.resamples == 120
    if classes == 4:
        assert found.redrawn > 0, "with 12 patients of 4 classes some draws lack a class"
    for name, samples in looped.items():
        if name in BIASED:
            shift = samples.mean(axis=0) - all_metrics(probabilities, targets)[name]
            samples = np.maximum(samples - shift, 0.0)
        np.testing.assert_allclose(
            found.low[name], np.quantile(samples, 0.05, axis=0), atol=1e-9, err_msg=name
        )
        np.testing.assert_allclose(
            found.high[name], np.quantile(samples, 0.95, axis=0), atol=1e-9, err_msg=name
        )


def test_intervals_do_not_depend_on_how_patients_are_called() -> None:
    probabilities, targets, patients = case(60, 2)
    renamed = np.array([f"{hash(name) % 997}-{name}"[::-1] for name in patients])
    found = patient_intervals(probabilities, targets, patients, **SETTINGS)
    again = patient_intervals(probabilities, targets, renamed, **SETTINGS)
    for name in found.low:
        np.testing.assert_array_equal(found.low[name], again.low[name])


def test_scans_of_one_patient_count_less_than_independent_ones() -> None:
    probabilities, targets, patients = case(240, 2, per_patient=6)
    clustered = patient_intervals(probabilities, targets, patients, **SETTINGS)
    alone = patient_intervals(probabilities, targets, np.full(240, ""), **SETTINGS)
    for name in ("accuracy", "auc_macro", "nll"):
        assert clustered.high[name] - clustered.low[name] > 1.3 * (alone.high[name] - alone.low[name]), name


def test_arguments_change_something_and_the_same_ones_do_not() -> None:
    probabilities, targets, patients = case(60, 3)

    def width(**changed: float) -> float:
        found = patient_intervals(probabilities, targets, patients, **{**SETTINGS, **changed})
        return float(found.high["nll"] - found.low["nll"])

    assert width() == width()
    assert width(seed=12) != width()
    assert width(resamples=90) != width()
    assert width(confidence=0.99) > width()


def test_chunks_do_not_change_the_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    probabilities, targets, patients = case(36, 4)
    whole = patient_intervals(probabilities, targets, patients, **SETTINGS)
    monkeypatch.setattr(intervals, "CHUNK_WEIGHTS", 36 * 7)
    chunked = patient_intervals(probabilities, targets, patients, **SETTINGS)
    for name in whole.low:
        np.testing.assert_allclose(whole.low[name], chunked.low[name], rtol=1e-12, err_msg=name)


def test_unknown_patients_are_clusters_of_their_own() -> None:
    assert patient_codes(np.array(["b", "", "a", "b", ""])).tolist() == [0, 2, 1, 0, 3]


def test_one_patient_or_none_wanted_has_no_interval() -> None:
    probabilities, targets, _ = case(12, 2)
    alone = patient_intervals(probabilities, targets, np.full(12, "p"), **SETTINGS)
    assert "1 patient" in alone.reason
    assert not alone.low
    off = patient_intervals(probabilities, targets, np.arange(12).astype(str), **{**SETTINGS, "resamples": 0})
    assert "switched off" in off.reason
    nobody = patient_intervals(probabilities[:0], targets[:0], np.array([]), **SETTINGS)
    assert nobody == Bootstrap(reason="0 patient(s): resampling needs at least two")


def test_hopeless_redrawing_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "MAX_DRAWS_PER_RESAMPLE", 3)
    probabilities, targets, patients = case(6, 6, per_patient=1)
    found = patient_intervals(probabilities, targets, patients, **SETTINGS)
    assert "held every class" in found.reason
    assert not found.low


def test_a_thousand_resamples_of_six_hundred_scans_are_quick() -> None:
    probabilities, targets, patients = case(600, 4)
    start = time.process_time()
    patient_intervals(probabilities, targets, patients, resamples=1000, confidence=0.95, seed=0)
    assert time.process_time() - start < 10.0

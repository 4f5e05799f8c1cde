from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from scanlens.shortcuts.origins import origins, predicted_from_features

RNG = np.random.default_rng(0)


def index(**columns: list) -> pd.DataFrame:
    frame = pd.DataFrame(columns)
    frame["scan_id"] = [f"{number:04x}" for number in range(len(frame))]
    frame["patient"] = [f"p{number // 2}" for number in range(len(frame))]
    frame["label"] = "well"
    return frame


def test_origins_are_columns_of_few_values_with_several_patients() -> None:
    table = index(
        site=["north"] * 20 + ["south"] * 16 + ["lone"] * 4,
        modality=["CR"] * 40,
        name=[f"n{number}" for number in range(40)],
        shape=[[1, 2]] * 40,
        device=["", "a"] * 20,
    )
    found = list(origins(table))
    assert [origin.column for origin in found] == ["site"]
    assert found[0].values == ["north", "south"]
    assert found[0].positions.tolist() == list(range(36))
    assert found[0].codes.tolist() == [0] * 20 + [1] * 16


def test_a_store_without_sites_has_no_origins() -> None:
    assert list(origins(index(site=[""] * 30))) == []


def test_what_features_tell_is_told_of_other_patients() -> None:
    codes = np.arange(60) % 2
    patients = np.array([f"p{number // 4}" for number in range(60)], dtype=object)
    features = RNG.normal(0, 1, (60, 5)) + 3 * codes[:, None]
    told = predicted_from_features(features, codes, patients)
    assert told is not None
    np.testing.assert_allclose(told.sum(axis=1), 1)
    assert (told.argmax(1) == codes).mean() > 0.95


def test_a_patients_own_scans_teach_nothing() -> None:
    """Features that only name the patient tell the value of no other patient."""
    people = np.arange(80) // 2
    codes = RNG.integers(0, 2, 40)[people]
    told = predicted_from_features(np.eye(40)[people], codes, people.astype(str).astype(object))
    assert told is not None
    assert (told.argmax(1) == codes).mean() < 0.75


@pytest.mark.parametrize("features", [np.zeros((20, 3)), np.full((20, 3), 7.0)])
def test_constant_features_tell_nothing(features: np.ndarray) -> None:
    codes = np.arange(20) % 2
    told = predicted_from_features(features, codes, np.arange(20).astype(str).astype(object))
    assert told is not None
    np.testing.assert_allclose(told, 0.5, atol=0.05)

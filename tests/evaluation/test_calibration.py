"""Temperature scaling against known temperatures, torch and a direct search."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar

from scanlens.errors import ScanlensError
from scanlens.evaluation.calibration import (
    TEMPERATURE_RANGE,
    calibrated_probabilities,
    fit_temperature,
    is_separated,
    negative_log_likelihood,
)


def drawn(temperature: float, scans: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from softmax(z), seen through logits z * temperature."""
    generator = np.random.default_rng(5)
    logits = 2.0 * generator.normal(size=(scans, classes))
    shares = torch.softmax(torch.tensor(logits), dim=1).numpy()
    targets = np.array([generator.choice(classes, p=row) for row in shares])
    return logits * temperature, targets


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
@pytest.mark.parametrize("classes", [2, 4])
def test_a_known_temperature_is_recovered(temperature: float, classes: int) -> None:
    logits, targets = drawn(temperature, 8000, classes)
    assert fit_temperature(logits, targets) == pytest.approx(temperature, rel=0.06)


def test_no_other_temperature_has_a_smaller_likelihood() -> None:
    logits, targets = drawn(2.5, 300, 3)
    searched = minimize_scalar(
        lambda t: torch.nn.functional.cross_entropy(torch.tensor(logits / t), torch.tensor(targets)).item(),
        bounds=TEMPERATURE_RANGE,
        method="bounded",
        options={"xatol": 1e-9},
    )
    assert fit_temperature(logits, targets) == pytest.approx(searched.x, rel=1e-5)


def test_likelihood_and_probabilities_equal_torch() -> None:
    logits, targets = drawn(1.0, 50, 3)
    scaled = torch.tensor(logits / 1.7)
    expected = torch.nn.functional.cross_entropy(scaled, torch.tensor(targets)).item()
    assert negative_log_likelihood(logits, targets, 1.7) == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(
        calibrated_probabilities(logits, 1.7), torch.softmax(scaled, dim=-1).numpy(), rtol=1e-12
    )


def test_probabilities_work_on_any_leading_axes() -> None:
    logits = np.random.default_rng(0).normal(size=(2, 5, 6, 3)).astype(np.float32)
    probabilities = calibrated_probabilities(logits, 0.5)
    assert probabilities.shape == logits.shape
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1.0, rtol=1e-12)
    np.testing.assert_array_equal(probabilities[1, 2, 3], calibrated_probabilities(logits[1, 2, 3], 0.5))


def test_all_right_is_no_reason_for_certainty() -> None:
    logits, targets = np.array([[2.0, 0.0], [0.0, 0.1]]), np.array([0, 1])
    assert is_separated(logits, targets)
    assert fit_temperature(logits, targets) == 1.0
    assert not is_separated(np.zeros((2, 2)), targets), "a tie is not right"


def test_worse_than_chance_stops_at_the_softest() -> None:
    logits, targets = np.array([[2.0, 0.0], [0.0, 3.0]]), np.array([1, 0])
    assert fit_temperature(logits, targets) == TEMPERATURE_RANGE[1]


@pytest.mark.parametrize(
    ("logits", "targets"),
    [
        (np.zeros((0, 2)), np.zeros(0, dtype=int)),
        (np.zeros((3, 2)), np.zeros(2, dtype=int)),
        (np.array([[np.nan, 1.0]]), np.zeros(1, dtype=int)),
    ],
)
def test_unusable_validation_is_refused(logits: np.ndarray, targets: np.ndarray) -> None:
    with pytest.raises(ScanlensError, match="calibration"):
        fit_temperature(logits, targets)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_a_temperature_must_be_positive(temperature: float) -> None:
    with pytest.raises(ScanlensError, match="positive"):
        calibrated_probabilities(np.zeros((1, 2)), temperature)


def test_nan_logits_give_no_probabilities() -> None:
    with pytest.raises(ScanlensError, match="NaN"):
        calibrated_probabilities(np.array([[0.0, np.nan]]), 1.0)


def test_the_module_is_light() -> None:
    heavy = ("sklearn", "pandas", "matplotlib", "torch", "jinja2")
    code = f"import sys, scanlens.evaluation.calibration; print([m for m in {heavy} if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"

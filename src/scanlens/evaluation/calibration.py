"""Temperature scaling: one number that turns logits into probabilities that mean what they say.

Method: Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", ICML 2017. Only numpy
and scipy are imported, since batch inference runs this module without anything heavier.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import log_softmax, softmax

from scanlens.errors import ScanlensError
from scanlens.types import FloatArray

TEMPERATURE_RANGE = (0.05, 20.0)
"""Temperatures outside this range are never fitted: beyond it the probabilities stop changing usefully."""


def calibrated_probabilities(logits: FloatArray, temperature: float) -> FloatArray:
    """Softmax of ``logits / temperature`` over the last axis, in float64.

    Args:
        logits: ``(..., class)``, finite.
        temperature: Positive; 1 leaves the network's own probabilities.

    Returns:
        ``(..., class)`` float64 in [0, 1]; the last axis sums to 1.

    Raises:
        ScanlensError: A logit is not finite or the temperature is not positive.

    Example:
        >>> calibrated_probabilities(np.log([[1.0, 3.0]]), 1.0).tolist()
        [[0.25, 0.75]]
        >>> calibrated_probabilities(np.log([[1.0, 9.0]]), 2.0).round(2).tolist()
        [[0.25, 0.75]]
    """
    if not (np.isfinite(temperature) and temperature > 0):
        raise ScanlensError(f"calibration: the temperature must be a positive number, got {temperature}.")
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    if not np.isfinite(scaled).all():
        raise ScanlensError(
            f"calibration: {int((~np.isfinite(scaled)).any(axis=-1).sum())} scans or cells have logits that "
            "are NaN or infinite.",
            "Train again with a lower training.lr or runtime.precision=32.",
        )
    return np.asarray(softmax(scaled, axis=-1))


def negative_log_likelihood(
    logits: FloatArray, targets: npt.NDArray[np.int64], temperature: float = 1.0
) -> float:
    """Mean negative log-likelihood of the true class in nats, computed from logits without rounding to 0.

    Args:
        logits: ``(scan, class)``.
        targets: ``(scan,)`` class indices.
        temperature: Positive.

    Example:
        >>> logits = np.log([[1.0, 3.0]])
        >>> round(negative_log_likelihood(logits, np.array([1])), 4) == round(-float(np.log(0.75)), 4)
        True
    """
    log_probabilities = log_softmax(np.asarray(logits, dtype=np.float64) / temperature, axis=1)
    return float(-log_probabilities[np.arange(len(targets)), targets].mean())


def is_separated(logits: FloatArray, targets: npt.NDArray[np.int64]) -> bool:
    """Whether every true class has the single largest logit, so that the likelihood has no maximum.

    Example:
        >>> is_separated(np.array([[2.0, 1.0], [0.0, 3.0]]), np.array([0, 1]))
        True
        >>> is_separated(np.array([[2.0, 1.0], [0.0, 3.0]]), np.array([0, 0]))
        False
    """
    own = logits[np.arange(len(targets)), targets]
    others = np.array(logits, dtype=np.float64)
    others[np.arange(len(targets)), targets] = -np.inf
    return bool((own > others.max(axis=1)).all())


def fit_temperature(logits: FloatArray, targets: npt.NDArray[np.int64]) -> float:
    """The temperature with the smallest negative log-likelihood on these (validation) scans.

    The likelihood is convex in ``1 / temperature``, so its minimum is the one root of a rising slope: the
    mean logit the softmax expects minus the mean logit of the true classes. Where every scan is classified
    right no minimum exists (sharper is always better): 1 is returned rather than claiming certainty that
    a few right answers cannot show. Elsewhere the result stays within :data:`TEMPERATURE_RANGE`.

    Args:
        logits: ``(scan, class)``, finite.
        targets: ``(scan,)`` class indices.

    Returns:
        The temperature, deterministic.

    Raises:
        ScanlensError: No scans, unequal lengths or logits that are not finite.

    Example:
        >>> logits = np.log([[9.0, 1.0]] * 4)  # says 90 % four times, and is right three times
        >>> temperature = fit_temperature(logits, np.array([0, 0, 0, 1]))
        >>> round(temperature, 3), calibrated_probabilities(logits[:1], temperature).round(3).tolist()
        (2.0, [[0.75, 0.25]])
        >>> fit_temperature(logits, np.array([0, 0, 0, 0]))  # all are right: no minimum
        1.0
    """
    scores = np.asarray(logits, dtype=np.float64)
    if scores.ndim != 2 or len(scores) != len(targets) or not len(scores):
        raise ScanlensError(
            f"calibration: expected logits (scan, class) and one target a scan, got {scores.shape} and "
            f"{len(targets)} targets."
        )
    if not np.isfinite(scores).all():
        raise ScanlensError("calibration: validation logits are NaN or infinite.", "Train again.")
    if is_separated(scores, targets):
        return 1.0
    mean_true_logit = scores[np.arange(len(targets)), targets].mean()

    def slope(sharpness: float) -> float:
        expected = (softmax(sharpness * scores, axis=1) * scores).sum(axis=1).mean()
        return float(expected - mean_true_logit)

    sharpest, softest = 1.0 / TEMPERATURE_RANGE[0], 1.0 / TEMPERATURE_RANGE[1]
    if slope(softest) >= 0:
        return TEMPERATURE_RANGE[1]
    if slope(sharpest) <= 0:
        return TEMPERATURE_RANGE[0]
    return float(1.0 / brentq(slope, softest, sharpest, xtol=1e-12))


def read_temperature(path: Path) -> float:
    """The temperature in a ``calibration.json``."""
    return float(json.loads(path.read_text(encoding="utf-8"))["temperature"])
